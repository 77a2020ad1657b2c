"""How many face requests one API replica works on at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from starlette.requests import HTTPConnection

from semblance.errors import OverloadedError


class Slots:
    """Admits at most `limit` at a time; whoever comes then is told to come back, not queued, so that
    answers in hand stay fast and memory stays bounded."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Hold one slot; raises OverloadedError when none is free."""
        if self._taken >= self._limit:
            raise OverloadedError("Too many pictures are being worked on; try again soon.")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


async def take_slot(connection: HTTPConnection) -> AsyncIterator[None]:
    """Dependency of routes that have faces described: hold one of the replica's slots meanwhile."""
    async with cast(Slots, connection.app.state.slots).take():
        yield
