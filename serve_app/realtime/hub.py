"""One reader of events per replica, and all its clients."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from db.events import CHANNEL, Event
from db.pool import Database
from db.repositories import Repositories
from deployments.packs.calibration import SimilarityScale
from semblance.errors import DatabaseError, OverloadedError, TooManyConnectionsError
from semblance.settings import Settings
from semblance.storage.store import Storage
from serve_app.realtime.frames import FEED_LIMIT, Channel, EventFrames, Frame
from serve_app.realtime.presence import PresenceKeeper
from serve_app.realtime.subscription import RESTART, SIGNED_OUT, Subscription

logger = logging.getLogger(__name__)

_BATCH = 100
"""Events per query; between two batches the clients are sent theirs."""

_MISSED_BATCH = 20
"""As _BATCH, of the events that one client missed. Making their frames keeps the event loop for a few ms."""

_GUESTS_SHARE = 0.75
"""Part of a replica's connections that guests may have. They need nothing but addresses to call from, and
must not keep out those who have signed in."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Intervals of the hub.

    ping: seconds between two pings of clients. beat: seconds between two signs of life of a replica. lost: a
    replica without one for so long is taken for dead. keep: how long clients can resume. tidy: seconds
    between two removals of older events.
    """

    ping: float = 25
    beat: float = 10
    lost: timedelta = timedelta(seconds=45)
    keep: timedelta = timedelta(minutes=10)
    tidy: float = 60


class Hub:
    """Reads every event once and gives it to the clients of this replica that may see it."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        db: Repositories,
        storage: Storage,
        scale: SimilarityScale,
        *,
        timing: Timing | None = None,
    ) -> None:
        self._settings = settings
        self._database = database
        self._db = db
        self._storage = storage
        self._scale = scale
        self._timing = timing or Timing()
        self._presence = PresenceKeeper(db.realtime_sessions)
        self._position = 0
        self._clients: set[Subscription] = set()
        self._by_profile: defaultdict[UUID | None, set[Subscription]] = defaultdict(set)
        self._tasks: list[asyncio.Task[None]] = []
        self._guests_turn, self._users_turn = asyncio.Lock(), asyncio.Lock()

    @property
    def clients(self) -> int:
        """Number of connected clients."""
        return len(self._clients)

    async def start(self) -> None:
        """Start reading after the newest event. Raises DatabaseError."""
        _, self._position = await self._db.events.kept()
        await self._db.realtime_sessions.seen(self._presence.replica_id)
        self._tasks = [
            asyncio.create_task(task)
            for task in (self._read(), self._ping(), self._keep_presence(), self._tidy())
        ]

    async def close(self) -> None:
        """Stop reading and end all connections; the clients reconnect elsewhere."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in list(self._clients):
            client.stop(RESTART)
        await self._presence.close()

    @asynccontextmanager
    async def join(
        self,
        profile_id: UUID | None,
        channels: Collection[Channel],
        base_url: str,
        last_event_id: int | None = None,
        session: bytes | None = None,
    ) -> AsyncIterator[Subscription]:
        """A new client, whose profile is online until the context ends. session: as for `Subscription`.

        Raises OverloadedError if the replica has too many clients, or too many for one more guest,
        TooManyConnectionsError if the profile has.
        """
        client = Subscription(
            profile_id,
            channels,
            base_url,
            joined_at=self._position,
            last_event_id=last_event_id,
            session=session,
        )
        room = self._settings.realtime_max_sockets
        if client.is_guest:
            room = max(1, int(room * _GUESTS_SHARE))
        if len(self._clients) >= room:
            raise OverloadedError("Too many realtime connections are open; try again soon.", 5)
        most = self._settings.realtime_max_sockets_per_profile
        if profile_id is not None and len(self._by_profile.get(profile_id, ())) >= most:
            raise TooManyConnectionsError(f"You have {most} realtime connections open; close one.", 30)
        self._clients.add(client)
        self._by_profile[profile_id].add(client)
        try:
            if profile_id is not None:
                await self._presence.enter(client.id, profile_id)
            # The session may have ended before `_tell` knew the client.
            if session is not None and await self._db.sessions.has_ended(
                session, profile_id, as_admin="admin" in channels
            ):
                client.stop(SIGNED_OUT)
            yield client
        finally:
            self._presence.leave(client.id)
            self._clients.discard(client)
            self._by_profile[profile_id].discard(client)
            if not self._by_profile[profile_id]:
                del self._by_profile[profile_id]

    async def frames(self, client: Subscription) -> AsyncGenerator[list[Frame]]:
        """All frames for a client, in order, until its end: `hello`; the events after its last event id, or
        `reset` if that is no longer known; then new events and pings.

        Each event comes once: those read before the client joined come from the database, later ones from
        the queue. Raises DatabaseError.
        """
        hello: dict[str, object] = {"channels": sorted(client.channels)}
        if "presence" in client.channels and client.profile_id is not None:
            online = await self._db.realtime_sessions.online_connections(client.profile_id)
            hello["online"] = [str(profile_id) for profile_id in online]
        last = client.last_event_id
        if last is None:
            yield [Frame.of(client.joined_at, "hello", hello)]
        else:
            # With the client's own id: one that loses the connection now resumes at the same place.
            yield [Frame.of(last, "hello", hello)]
            _, newest = await self._db.events.kept()
            if last <= newest:
                async for missed in self._missed(client, after=last, up_to=client.joined_at):
                    yield missed
            else:
                client.seen = self._position
                yield [Frame.of(client.seen, "reset", {})]
        while client.end is None:
            if frames := await client.take():
                yield frames
            elif client.end is None:
                # Moves the client's last event id past events for others.
                yield [Frame.of(max(self._position, client.seen), "ping", {})]

    async def _missed(self, client: Subscription, *, after: int, up_to: int) -> AsyncIterator[list[Frame]]:
        """What a client missed. It may ask for ten minutes of all matches as often as it likes, so clients
        take turns, and what they cost leaves half of the time to everything else on the event loop. Guests
        wait for guests only."""
        turn = self._guests_turn if client.is_guest else self._users_turn
        while after < up_to:
            async with turn:
                began = time.monotonic()
                events = await self._db.events.visible(
                    client.profile_id, client.types, after=after, up_to=up_to, limit=_MISSED_BATCH
                )
                frames = [
                    news.frame_for(client) for news in await self._news(events, for_guest=client.is_guest)
                ]
                oldest, _ = await self._db.events.kept()
                if events:
                    await asyncio.sleep(time.monotonic() - began)
            if oldest > after:
                # Removed, perhaps while the client waited for its turn or read what it got before.
                yield [Frame.of(up_to, "reset", {})]
                return
            if found := [frame for frame in frames if frame is not None]:
                yield found
            if len(events) < _MISSED_BATCH:
                return
            after = events[-1].id

    async def _read(self) -> None:
        async with aclosing(self._database.notifications(CHANNEL)) as wake_ups:
            async for _ in wake_ups:
                try:
                    await self._catch_up()
                except DatabaseError as exc:
                    logger.warning("events wait: %s", exc)

    async def _catch_up(self) -> None:
        while events := await self._db.events.since(self._position, _BATCH):
            for news in await self._news(events):
                try:
                    self._tell(news)
                except Exception:
                    logger.exception("event %d cannot be told", news.event.id)
                self._position = news.event.id
            # Connections send what they have before the next batch comes.
            await asyncio.sleep(0)

    async def _news(self, events: Sequence[Event], *, for_guest: bool = False) -> list[EventFrames]:
        """Events with their matches. for_guest: only the matches that the live feed shows."""
        most = FEED_LIMIT if for_guest else None
        ids = [UUID(text) for event in events for text in _match_ids(event)[:most]]
        # Without clients nothing needs to be loaded.
        found = await self._db.matches.load(ids, None) if ids and self._clients else []
        matches = {str(match.id): match for match in found}
        return [
            EventFrames(
                event,
                self._settings,
                self._storage,
                self._scale,
                [matches[text] for text in _match_ids(event) if text in matches],
            )
            for event in events
        ]

    def _tell(self, news: EventFrames) -> None:
        event = news.event
        if event.audience is None:
            clients = list(self._clients)
        else:
            clients = [client for profile in event.audience for client in self._by_profile.get(profile, ())]
        if event.type == "session_ended":
            for client in clients:
                of_session = client.session is not None and client.session.hex() == event.payload.get("key")
                everywhere = event.payload.get("everywhere", False)
                if of_session or everywhere or event.payload.get("channel") in client.channels:
                    client.stop(SIGNED_OUT)
            return
        for client in clients:
            if event.type in client.types and (frame := news.frame_for(client)) is not None:
                client.offer(frame)

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(self._timing.ping)
            for client in self._clients:
                client.nudge()

    async def _keep_presence(self) -> None:
        while True:
            try:
                await self._presence.beat(self._timing.lost)
            except DatabaseError as exc:
                logger.warning("presence is behind: %s", exc)
            await asyncio.sleep(self._timing.beat)

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(self._timing.tidy)
            try:
                await self._db.events.prune(self._timing.keep)
                await self._db.sessions.prune()
                await self._db.console_sessions.prune()
            except DatabaseError as exc:
                logger.warning("old events and sessions stay: %s", exc)


def _match_ids(event: Event) -> list[str]:
    """The ids of the matches that an event names, best first."""
    ids: list[str] = event.payload["ids"] if event.type == "matches" else []
    return ids
