"""The API on a separate port, for tests that need sockets, and rows that cause events."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import uvicorn
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from db.pool import Database
from serve_app.api import realtime_clients
from serve_app.api.services import Services
from serve_app.realtime.hub import Hub, Timing
from serve_app.realtime.subscription import EXPIRED, End
from tests.support.api import Api, User
from tests.support.waiting import PATIENCE_S, until, wait_until

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Server:
    """Addresses of a running API."""

    http: str
    ws: str

    @asynccontextmanager
    async def listen(
        self, user: User | None = None, *, headers: Mapping[str, str] | None = None, **query: str | int
    ) -> AsyncIterator[Socket]:
        """A WebSocket, before its first event is read."""
        url = f"{self.ws}/api/realtime" + "".join(
            f"{'&' if number else '?'}{name}={value}" for number, (name, value) in enumerate(query.items())
        )
        sent = {**(user.headers if user else {}), **(headers or {})}
        # Without its own bounds, which would keep the client from seeing the server's close behind events;
        # and without compression, which would let a whole flood of the same letters into the socket's buffer.
        async with connect(url, additional_headers=sent, max_queue=None, compression=None) as connection:
            yield Socket(connection)


@dataclass(frozen=True, slots=True)
class Socket:
    """A client that reads events."""

    connection: ClientConnection

    async def next(self, seconds: float = PATIENCE_S) -> Event:
        """The next event; it must come within the time."""
        async with asyncio.timeout(seconds):
            event: Event = json.loads(await self.connection.recv())
            return event

    async def hello(self) -> Event:
        event = await self.next()
        assert event["type"] == "hello"
        return event

    async def until(self, kind: str) -> Event:
        """The next event of a type, skipping others."""
        while (event := await self.next())["type"] != kind:
            pass
        return event

    async def quiet(self, seconds: float = 0.3) -> bool:
        """Whether no event comes for a while."""
        try:
            await self.next(seconds)
        except TimeoutError:
            return True
        return False

    async def closed(self) -> tuple[int, str]:
        """Code and reason with which the server closes it, skipping all earlier events."""
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                await self.next()
        assert caught.value.rcvd is not None
        return caught.value.rcvd.code, caught.value.rcvd.reason

    async def say(self, text: str) -> None:
        await self.connection.send(text)


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncGenerator[Server]:
    """The app behind uvicorn; the caller manages its lifespan."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        config = uvicorn.Config(app, lifespan="off", log_level="critical", timeout_graceful_shutdown=2)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        await until(lambda: server.started)
        yield Server(f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}")
        server.should_exit = True
        await task


@pytest.fixture
def expiries(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, Callable[[], None]]]:
    """Of each connection, the seconds after which its session ends, and what then happens."""
    found: list[tuple[float, Callable[[], None]]] = []

    def call_later(seconds: float, stop: Callable[[End], None], end: End) -> asyncio.TimerHandle:
        if end is EXPIRED:
            found.append((seconds, partial(stop, end)))
        return asyncio.get_running_loop().call_later(seconds, stop, end)

    clock = SimpleNamespace(
        create_task=asyncio.create_task,
        get_running_loop=lambda: SimpleNamespace(call_later=call_later),
        sleep=asyncio.sleep,
    )
    monkeypatch.setattr(realtime_clients, "asyncio", clock)
    return found


@pytest.fixture
async def server(api: Api) -> AsyncIterator[Server]:
    async with serving(api.app) as running:
        yield running


async def caught_up(services: Services) -> None:
    """Return once the hub has told its clients of all events so far."""
    _, newest = await services.db.events.kept()
    await until(lambda: services.hub._position >= newest)


def ping_often(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the hub break each tenth of a second of silence."""
    monkeypatch.setattr(hub, "_timing", Timing(ping=0.1))
    hub._tasks.append(asyncio.create_task(hub._ping()))


async def add_face(database: Database, owner: UUID) -> UUID:
    """A face without an embedding."""
    face: UUID = await database.fetchval(
        "INSERT INTO faces (profile_id, image_path) VALUES ($1, 'faces/x.jpg') RETURNING id", owner
    )
    return face


async def add_match(database: Database, face: UUID, other: UUID, score: float = 0.5) -> UUID:
    match: UUID = await database.fetchval(
        """
        INSERT INTO matches (face_a_id, face_b_id, similarity_score)
        VALUES (least($1::uuid, $2::uuid), greatest($1::uuid, $2::uuid), $3) RETURNING id
        """,
        face, other, score,
    )  # fmt: skip
    return match


async def connect_users(database: Database, user: UUID, other: UUID, status: str = "active") -> UUID:
    """A connection of two users, by a match of new faces of theirs."""
    match = await add_match(database, await add_face(database, user), await add_face(database, other))
    connection: UUID = await database.fetchval(
        """
        INSERT INTO mutual_connections (profile_a_id, profile_b_id, match_id, status)
        VALUES ($1, $2, $3, $4) RETURNING id
        """,
        user, other, match, status,
    )  # fmt: skip
    return connection


async def add_message(database: Database, connection: UUID, sender: UUID, content: str = "hi") -> UUID:
    message: UUID = await database.fetchval(
        "INSERT INTO messages (connection_id, sender_id, content) VALUES ($1, $2, $3) RETURNING id",
        connection, sender, content,
    )  # fmt: skip
    return message


async def notify(database: Database, user: UUID, title: str = "News") -> UUID:
    notification: UUID = await database.fetchval(
        "INSERT INTO notifications (user_id, type, title) VALUES ($1, 'mutual_match', $2) RETURNING id",
        user, title,
    )  # fmt: skip
    return notification


async def wait_for_presence(database: Database, user: User, *, online: bool) -> None:
    """Until the user's profile says so."""
    await wait_until(database, "SELECT online = $2 FROM profiles WHERE id = $1", user.id, online)
