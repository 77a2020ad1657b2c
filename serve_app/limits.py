"""How much one API replica works on at once, and how much of that is for one client: a user or an API key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

from semblance.errors import BusyClientError, OverloadedError
from semblance.settings import Settings


class Client(NamedTuple):
    """Who asks: a user by the id of the profile, or a key by what tells it from others."""

    kind: Literal["user", "key"]
    id: str


class FairShare:
    """Gives out `limit` units of something; whoever comes when there is none is told to come back, not
    queued, so that answers in hand stay fast and memory stays bounded.

    A client can count on its share. It may have more only as long as another share stays free for others:
    alone it gets most of all, beside others no more than is left.
    """

    def __init__(self, limit: int, share: float, *, what: str) -> None:
        """share: part of the limit, 0 to 1. what: the units, as the subject of a refusal."""
        self._free = limit
        self._share = max(1, int(limit * share))
        self._held: Counter[Client] = Counter()
        self._what = what

    def take(self, client: Client, amount: int = 1) -> None:
        """Raises BusyClientError where the client has its share and little is free, OverloadedError where too
        little is."""
        if self._held[client] + amount > self._share and self._free - amount < self._share:
            raise BusyClientError(f"{self._what} of yours are being worked on; try again soon.")
        if amount > self._free:
            raise OverloadedError(f"{self._what} are being worked on; try again soon.")
        self._free -= amount
        self._held[client] += amount

    def give_back(self, client: Client, amount: int = 1) -> None:
        """What `take` gave."""
        self._free += amount
        self._held[client] -= amount
        if not self._held[client]:
            del self._held[client]

    @contextmanager
    def held(self, client: Client) -> Iterator[None]:
        """Hold one unit meanwhile; raises as `take`."""
        self.take(client)
        try:
            yield
        finally:
            self.give_back(client)


class Uploads:
    """Bodies with pictures, from their first byte until the request is answered: how many of one client
    arrive at once, and how many bytes all have together."""

    def __init__(self, settings: Settings) -> None:
        # Behind a key is a service with many users, which sends what a replica can work on.
        self._most_arriving = {"user": settings.max_uploads_per_user, "key": settings.max_inflight}
        self._arriving: Counter[Client] = Counter()
        self._bytes = FairShare(settings.max_upload_bytes, settings.client_share, what="Too many pictures")

    @contextmanager
    def open(self, client: Client) -> Iterator[Upload]:
        """Count one more body; raises BusyClientError where enough of the client's arrive already."""
        if self._arriving[client] >= self._most_arriving[client.kind]:
            raise BusyClientError("Too many uploads of yours are arriving; try again when some have ended.")
        self._arriving[client] += 1
        upload = Upload(self._bytes, self._arriving, client)
        try:
            yield upload
        finally:
            upload.whole()
            self._bytes.give_back(client, upload.size)


class Upload:
    """One body; `size` is what has arrived, in bytes."""

    def __init__(self, budget: FairShare, arriving: Counter[Client], client: Client) -> None:
        self.size = 0
        self._budget = budget
        self._arriving: Counter[Client] | None = arriving
        self._client = client

    def add(self, size: int) -> None:
        """More bytes have arrived; raises as `FairShare.take`."""
        self._budget.take(self._client, size)
        self.size += size

    def whole(self) -> None:
        """Nothing more arrives."""
        if self._arriving is not None:
            self._arriving[self._client] -= 1
            if not self._arriving[self._client]:
                del self._arriving[self._client]
            self._arriving = None


class ReplicaLimits:
    """The limits of one replica. slots: requests whose photos are being analyzed."""

    def __init__(self, settings: Settings) -> None:
        self.slots = FairShare(settings.max_inflight, settings.client_share, what="Too many pictures")
        self.uploads = Uploads(settings)
