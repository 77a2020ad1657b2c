"""How much one API replica works on at the same time, and how much of it for one client (a user or a key)."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

from semblance.errors import BusyClientError, OverloadedError
from semblance.settings import Settings


class Client(NamedTuple):
    """Who is asking: a user by the id of the profile, or an API key by its text."""

    kind: Literal["user", "key"]
    id: str


class FairShare:
    """Gives out `limit` units of something. When none is free, clients are refused and not queued: requests
    in progress stay fast, and memory stays bounded.

    A client can rely on its share. It gets more only while another share stays free for others: alone it gets
    most of the units, otherwise only what others leave.
    """

    def __init__(self, limit: int, share: float, *, what: str) -> None:
        """share: part of the limit, 0 to 1. what: the units, as the subject of the sentence of a refusal."""
        self._limit = self._free = limit
        self._share = max(1, int(limit * share))
        self._held: Counter[Client] = Counter()
        self._what = what

    @property
    def most(self) -> int:
        """How many units a client can have while it is alone."""
        return max(self._share, self._limit - self._share)

    def take(self, client: Client, amount: int = 1) -> None:
        """Raises BusyClientError if the client has its share and little is free, OverloadedError if too
        little is free."""
        if self._held[client] + amount > self._share and self._free - amount < self._share:
            raise BusyClientError(f"{self._what} of yours are being worked on; try again soon.")
        if amount > self._free:
            raise OverloadedError(f"{self._what} are being worked on; try again soon.")
        self._free -= amount
        self._held[client] += amount

    def give_back(self, client: Client, amount: int = 1) -> None:
        """Return what `take` gave."""
        self._free += amount
        self._held[client] -= amount
        if not self._held[client]:
            del self._held[client]

    @contextmanager
    def held(self, client: Client, amount: int = 1) -> Iterator[None]:
        """Hold one unit or several; raises as `take`."""
        self.take(client, amount)
        try:
            yield
        finally:
            self.give_back(client, amount)


class Uploads:
    """Bodies with photos, from their first byte until the answer: how many of one client arrive at the same
    time, and how many bytes all of them have."""

    def __init__(self, settings: Settings) -> None:
        # Behind a key is a service with many users, which may send as much as a replica can work on.
        self._most_arriving = {"user": settings.max_uploads_per_user, "key": settings.max_inflight}
        self._arriving: Counter[Client] = Counter()
        self._bytes = FairShare(settings.max_upload_bytes, settings.client_share, what="Too many pictures")

    @contextmanager
    def open(self, client: Client) -> Iterator[Upload]:
        """Count one more body; raises BusyClientError if too many of the client's are arriving already."""
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
    """One body. size: bytes that have arrived."""

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
        """The body is complete."""
        if self._arriving is not None:
            self._arriving[self._client] -= 1
            if not self._arriving[self._client]:
                del self._arriving[self._client]
            self._arriving = None


class Rate:
    """How often a client may do something in a minute."""

    def __init__(self, per_minute: int, *, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        """what: the things, as the subject of the sentence of a refusal. clock: in seconds."""
        self._most = per_minute
        self._what = what
        self._clock = clock
        self._since = clock()
        self._done: Counter[Client] = Counter()

    def count(self, client: Client) -> None:
        """Raises BusyClientError, with the seconds until it may again, if the client has done it too
        often."""
        now = self._clock()
        left = 60 - (now - self._since)
        if left <= 0:
            self._since = now
            self._done.clear()
        elif self._done[client] >= self._most:
            raise BusyClientError(
                f"{self._what} of yours in one minute; try again a little later.", math.ceil(left)
            )
        if len(self._done) < _REMEMBERED or client in self._done:
            self._done[client] += 1


_REMEMBERED = 10_000
"""Clients that are counted at the same time; the memory stays bounded."""

SEARCHES_PER_MINUTE = 30
"""Of people by one user: more than anybody types, and too few to copy a school's bios soon."""


class ReplicaLimits:
    """The limits of one replica. slots: requests whose photos are being analyzed. searches: of people."""

    def __init__(self, settings: Settings) -> None:
        self.slots = FairShare(settings.max_inflight, settings.client_share, what="Too many pictures")
        self.uploads = Uploads(settings)
        self.searches = Rate(SEARCHES_PER_MINUTE, what="Too many searches")
