"""Events as clients get them, encoded once for all clients that get the same."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias, get_args
from uuid import UUID

from fastapi.sse import format_sse_event

from db.events import Event, EventType
from db.matches import Match
from deployments.packs.calibration import SimilarityScale
from semblance.settings import Settings
from semblance.storage.store import Storage
from serve_app.links import Links
from serve_app.schemas.matches import MatchSummary

Channel: TypeAlias = Literal["feed", "matches", "jobs", "messages", "notifications", "presence", "admin"]

CHANNELS: tuple[Channel, ...] = get_args(Channel)

TYPES: Mapping[Channel, frozenset[EventType]] = {
    "feed": frozenset({"matches"}),
    "matches": frozenset({"matches"}),
    "jobs": frozenset({"job"}),
    "messages": frozenset({"message", "message_read", "inference", "draft"}),
    "notifications": frozenset({"notifications"}),
    "presence": frozenset({"presence"}),
    "admin": frozenset({"admin"}),
}
"""The events of each channel; `matches` has only the user's own."""

FEED_LIMIT = 20
"""Most matches of one event in the live feed: as many as on its first page."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What is sent for one event. id: where a client resumes."""

    id: int
    type: str
    text: str

    @classmethod
    def of(cls, event_id: int, kind: str, data: object, created_at: datetime | None = None) -> Frame:
        """A frame, by default of the current time."""
        content = {
            "id": event_id,
            "type": kind,
            "data": data,
            "created_at": (created_at or datetime.now(UTC)).isoformat(),
        }
        return cls(event_id, kind, json.dumps(content, separators=(",", ":"), allow_nan=False))

    @property
    def sse(self) -> bytes:
        """As a server-sent event. A ping is a comment with an id, which moves the client's last event id
        without being dispatched."""
        if self.type == "ping":
            return format_sse_event(id=str(self.id), comment="ping")
        return format_sse_event(id=str(self.id), event=self.type, data_str=self.text)


class Recipient:
    """The receiver of frames. profile_id: None for a guest. base_url: where they reach the API."""

    __slots__ = ("base_url", "channels", "profile_id", "types")

    def __init__(self, profile_id: UUID | None, channels: Collection[Channel], base_url: str) -> None:
        self.profile_id = profile_id
        self.channels = frozenset(channels)
        self.base_url = base_url
        self.types: frozenset[EventType] = frozenset().union(*(TYPES[channel] for channel in channels))


class EventFrames:
    """An event and its frames. matches: those that an event of this type names, best first."""

    def __init__(
        self,
        event: Event,
        settings: Settings,
        storage: Storage,
        scale: SimilarityScale,
        matches: Sequence[Match] = (),
    ) -> None:
        self.event = event
        self._settings = settings
        self._storage = storage
        self._scale = scale
        self._matches = matches
        self._own: dict[UUID, list[Match]] = defaultdict(list)
        for match in matches:
            for profile_id in {match.a.id, match.b.id}:
                self._own[profile_id].append(match)
        self._shared: dict[tuple[str, bool], Frame | None] = {}

    def frame_for(self, recipient: Recipient) -> Frame | None:
        """The frame for a recipient whose channels and profile the event concerns; None if it has nothing for
        them."""
        if self.event.type == "message" and self.event.payload["message_type"] == "image":
            return self._shared_frame(
                (recipient.base_url, False), lambda: self._image_frame(recipient.base_url)
            )
        if self.event.type == "admin":
            data = {name: value for name, value in self.event.payload.items() if name != "kind"}
            return self._shared_frame(
                ("", False),
                lambda: Frame.of(self.event.id, self.event.payload["kind"], data, self.event.created_at),
            )
        if self.event.type != "matches":
            return self._shared_frame(("", False), lambda: self._frame(self.event.payload))
        feed = "feed" in recipient.channels
        own = self._own.get(recipient.profile_id, ()) if recipient.profile_id is not None else ()
        if own and "matches" in recipient.channels:
            return self._match_frame(recipient.base_url, feed, own)
        return self._shared_frame(
            (recipient.base_url, feed), lambda: self._match_frame(recipient.base_url, feed, ())
        )

    def _shared_frame(self, key: tuple[str, bool], make: Callable[[], Frame | None]) -> Frame | None:
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]

    def _image_frame(self, base_url: str) -> Frame:
        content = Links(self._settings, self._storage, base_url).message(
            self.event.payload["content"], "image"
        )
        return self._frame({**self.event.payload, "content": content})

    def _frame(self, data: object) -> Frame:
        return Frame.of(self.event.id, self.event.type, data, self.event.created_at)

    def _match_frame(self, base_url: str, feed: bool, own: Sequence[Match]) -> Frame | None:
        payload = self.event.payload
        shown = {match.id: match for match in own}
        if feed:
            shown |= {match.id: match for match in self._matches[:FEED_LIMIT]}
        named = len(payload["ids"])
        more = payload["count"] > (min(named, FEED_LIMIT) if feed else named)
        if not shown and not more:
            return None
        links = Links(self._settings, self._storage, base_url)
        return self._frame(
            {
                "matches": [
                    MatchSummary.of(match, links, self._scale).model_dump(mode="json")
                    for match in shown.values()
                ],
                "count": payload["count"] if feed else len(own),
                "more": more,
            }
        )
