"""The queue of frames of one client, and the pace of its messages. Both are bounded: a client that does not
read, or says too much, is dropped."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID, uuid4

from serve_app.realtime.frames import Channel, Frame, Recipient

QUEUE_LIMIT = 256
"""Most frames that wait for one client. A client that reads never has more than a burst waiting."""

WINDOW_BYTES = 2 * 1024 * 1024
"""Bytes that are sent to a client at most without a sign that they arrive. Behind a proxy that buffers
everything, as Serve's does, no queue of ours ever fills: only the client itself can tell."""

MOST_MESSAGES = 100
"""Messages that a client may send at once. It answers a ping every 25 seconds and one for each MiB."""

MESSAGES_PER_S = 5.0
"""How many it may send in the long run. One that sends as fast as it can takes the time of all others."""


@dataclass(frozen=True, slots=True)
class End:
    """Why the server ends a connection: the WebSocket's close code, and a sentence of at most 123 bytes, the
    limit of a close frame."""

    code: int
    reason: str


SLOW = End(1013, "You read too slowly. Reconnect with the last event id.")
EXPIRED = End(4401, "The access token has expired. Reconnect with a new one and the last event id.")
SIGNED_OUT = End(4401, "This session was ended. Sign in again.")
TOO_LONG = End(1000, "Connections have a time limit. Reconnect with the last event id.")
TOO_LARGE = End(1009, "Your message is too long. Clients send nothing but ping and pong.")
TOO_OFTEN = End(1008, "You send too many messages. Clients send nothing but ping and pong.")
RESTART = End(1012, "The server restarts. Reconnect with the last event id.")


class Pace:
    """How many messages a client may still send."""

    __slots__ = ("_at", "_left")

    def __init__(self, now: float) -> None:
        """now: seconds by any clock that runs evenly, the same as for `allows`."""
        self._left = float(MOST_MESSAGES)
        self._at = now

    def allows(self, now: float) -> bool:
        """Count a message that has come now; whether the client was allowed to send it."""
        self._left = min(MOST_MESSAGES, self._left + (now - self._at) * MESSAGES_PER_S) - 1
        self._at = now
        return self._left >= 0


class Subscription(Recipient):
    """The frames that wait for one client, and whether its connection must end."""

    __slots__ = ("_frames", "_news", "end", "ended", "id", "joined_at", "last_event_id", "seen", "session")

    def __init__(
        self,
        profile_id: UUID | None,
        channels: Collection[Channel],
        base_url: str,
        *,
        joined_at: int,
        last_event_id: int | None,
        session: bytes | None = None,
    ) -> None:
        """
        Args:
            joined_at: the newest event when the client joined; later ones are offered to it.
            last_event_id: the newest event that the client knows; None for a new client.
            session: the key of the session of the client's token; the connection ends with it.
        """
        super().__init__(profile_id, channels, base_url)
        self.id = uuid4()
        self.joined_at = joined_at
        self.last_event_id = last_event_id
        self.session = session
        # The replica that sent this id may have been ahead of this one.
        self.seen = max(joined_at, last_event_id or 0)
        self.end: End | None = None
        self.ended = asyncio.Event()
        self._frames: deque[Frame] = deque()
        self._news = asyncio.Event()

    @property
    def is_guest(self) -> bool:
        """Whether nobody has signed in: neither a user nor at the console."""
        return self.profile_id is None and self.session is None

    def offer(self, frame: Frame) -> None:
        """Queue a frame unless the client already has it; if the queue is full, end the connection."""
        if frame.id <= self.seen or self.end is not None:
            return
        if len(self._frames) >= QUEUE_LIMIT:
            self.stop(SLOW)
            return
        self.seen = frame.id
        self._frames.append(frame)
        self._news.set()

    def stop(self, end: End) -> None:
        """End the connection; waiting frames are dropped. The first reason stays."""
        if self.end is None:
            self.end = end
            self._frames.clear()
            self._news.set()
            self.ended.set()

    def nudge(self) -> None:
        """Make the current `take` return, with or without frames."""
        self._news.set()

    async def take(self) -> list[Frame]:
        """All waiting frames, as soon as there are any; none after a nudge, or at the end."""
        await self._news.wait()
        self._news.clear()
        frames = list(self._frames)
        self._frames.clear()
        return frames
