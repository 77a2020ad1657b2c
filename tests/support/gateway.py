"""The gateway in front of servers of the test, which answer like Ray Serve and the API."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.types import Receive, Scope, Send

from ops.stack.gateway import Gateway
from ops.stack.gateway_config import GatewayConfig, GatewayLimits, Timeouts, TlsListener
from ops.stack.gateway_targets import Serve
from ops.stack.ports import free_ports
from semblance.logging import SAFE_REQUEST_ID
from semblance.protocol import API_MARK
from tests.support.waiting import PATIENCE_S, wait_for

LOOPBACK = "127.0.0.1"
MARK = (API_MARK.lower().encode(), b"1")
QUICK = Timeouts(head=0.5, body=0.8, idle=0.5)
"""For tests of what is late. Others have the defaults, which a busy machine meets."""
WIDE = GatewayLimits(
    connections=1000, requests=100_000, uploads=1000, body_bytes=20_000_000, all_connections=400
)

NOWHERE = (LOOPBACK, 9)
"""The discard port, on which nothing listens."""

HANDSHAKE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)

CLIENT, OTHER = "203.0.113.7", "203.0.113.8"


@dataclass
class Backend:
    """A server that answers like a replica of the API, and counts.

    plain: a status with which it answers everything but health checks as Serve does, without the API's mark.
    applications: what it says as Serve's REST API. may_send: whether a client may get the event of a number.
    """

    port: int = 0
    healthy: bool = True
    plain: int | None = None
    applications: dict[str, Any] | None = None
    may_send: Callable[[int], bool] = lambda _: True
    seen: list[dict[str, Any]] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        return LOOPBACK, self.port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._echo(scope, receive, send)
            return
        match scope["path"]:
            case "/-/healthz":
                await _answer(send, 200 if self.healthy else 503, b"success", [])
            case "/api/serve/applications/":
                known = self.applications is not None
                await _answer(send, 200 if known else 500, json.dumps(self.applications).encode(), [])
            case "/health":
                await _answer(send, 200, b"{}", [MARK])
            case _ if self.plain is not None:
                await _answer(send, self.plain, b"Path '/' not found.", [])
            case "/bad-gateway":
                await _answer(send, 502, b'{"code":"baby_provider"}', [MARK])
            case "/events":
                await self._events(send)
            case _:
                body = await _read(receive)
                said = {
                    "path": scope["path"],
                    "query": scope["query_string"].decode(),
                    "headers": [
                        [name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]
                    ],
                    "client": scope["client"][0],
                    "scheme": scope["scheme"],
                    "bytes": len(body),
                    "server": self.port,
                }
                self.seen.append(said)
                await _answer(send, 200, json.dumps(said).encode(), [MARK])

    async def _echo(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/socket":
            await send({"type": "websocket.close"})
            return
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            if message["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"]})

    async def _events(self, send: Send) -> None:
        """Four events, as far apart as a client may be silent while it sends something."""
        await send({"type": "http.response.start", "status": 200, "headers": [MARK]})
        for number in range(4):
            while not self.may_send(number):  # noqa: ASYNC110 - of another thread
                await asyncio.sleep(0.01)
            await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
            await asyncio.sleep(QUICK.body * 0.8)
        await send({"type": "http.response.body", "body": b""})


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        part: bytes = message.get("body", b"")
        body += part
        if not message.get("more_body", False):
            return body


async def _answer(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def backend(port: int = 0) -> Iterator[Backend]:
    """A running backend, on any free port or on this one."""
    served = Backend()
    with socket.create_server((LOOPBACK, port)) as listener:
        served.port = listener.getsockname()[1]
        config = uvicorn.Config(served, lifespan="off", log_level="critical", timeout_graceful_shutdown=0)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        wait_for(lambda: server.started)
        yield served
        server.should_exit = True
        thread.join(5)


@contextmanager
def mortal_backend() -> Iterator[tuple[str, int]]:
    """The address of a server that answers like a replica of the API until somebody asks for /die: then it
    ends with all its connections, that one included, and listens no more."""
    loop = asyncio.new_event_loop()
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0))
                if b" /die " in head:
                    server.close()
                    for each in writers:
                        each.transport.abort()
                    return
                writer.write(f"HTTP/1.1 200 OK\r\n{API_MARK}: 1\r\nContent-Length: 2\r\n\r\n{{}}".encode())

    server = loop.run_until_complete(asyncio.start_server(serve, LOOPBACK, 0))
    address: tuple[str, int] = server.sockets[0].getsockname()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield address
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    server.close()
    for writer in writers:
        writer.transport.abort()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


@contextmanager
def gateway(
    folder: Path,
    serve: tuple[str, int],
    *,
    rest: Serve | None = None,
    limits: GatewayLimits = WIDE,
    timeouts: Timeouts = Timeouts(),  # noqa: B008 - it is frozen
    trusted_proxies: tuple[str, ...] = (),
    hosts: tuple[str, ...] = (),
    origins: tuple[str, ...] = (),
    tls: TlsListener | None = None,
) -> Iterator[Gateway]:
    """A running gateway; `serve` is where Serve's proxy would be."""
    config = GatewayConfig(
        host=LOOPBACK,
        port=free_ports({"gateway": (LOOPBACK, 0)})["gateway"],
        serve=serve,
        limits=limits,
        timeouts=timeouts,
        trusted_proxies=trusted_proxies,
        hosts=hosts,
        origins=origins,
        tls=tls,
    )
    running = Gateway(config, folder / "gateway", folder / "gateway.log", rest)
    running.start()
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def gateway_before(folder: Path, **options: Any) -> Iterator[tuple[Gateway, Backend]]:
    """A gateway and one backend that it knows to be healthy."""
    with backend() as behind, gateway(folder, behind.address, **options) as running:
        wait_for(lambda: httpx.get(f"{running.url}/").is_success)
        behind.seen.clear()
        yield running, behind


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """What came over a raw connection; status 0 for what is not HTTP/1. closed: the server has ended it."""

    status: int
    headers: dict[str, str]
    body: bytes
    closed: bool

    def json(self) -> Any:
        return json.loads(self.body)


def connect(running: Gateway) -> socket.socket:
    connection = socket.create_connection((running.config.host, running.config.port))
    connection.settimeout(PATIENCE_S)
    return connection


def wait_for_uploads(running: Gateway, count: int) -> None:
    """Return once the gateway has counted so many uploads of a client at once."""
    wait_for(lambda: f"conn_cur={count}" in running._admin.send("show table uploads"))


def raw(running: Gateway, request: bytes) -> RawAnswer:
    """Send raw bytes, and read until the server ends the connection or is silent."""
    with connect(running) as connection:
        connection.sendall(request)
        return read_answer(connection)


def read_answer(connection: socket.socket) -> RawAnswer:
    received, closed = b"", False
    with suppress(TimeoutError):
        while not _is_whole(received):
            part = connection.recv(65536)
            if not part:
                closed = True
                break
            received += part
    if not received.startswith(b"HTTP/"):
        return RawAnswer(0, {}, received, closed)
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return RawAnswer(int(lines[0].split()[1]), headers, body, closed)


def _is_whole(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    return bool(end and length and len(body) >= int(length))


def is_contract(answer: RawAnswer | httpx.Response, status: int, code: str) -> None:
    """Check the shape of an error: the id of the header is in the body."""
    got = answer.status if isinstance(answer, RawAnswer) else answer.status_code
    assert (got, answer.headers["content-type"]) == (status, "application/json"), answer
    body = answer.json()
    assert body.keys() == {"error", "code", "request_id"}
    assert body["code"] == code
    assert body["request_id"] == answer.headers["x-request-id"]
    assert SAFE_REQUEST_ID.fullmatch(body["request_id"])
    assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == (
        "no-store",
        "nosniff",
    )
    if status in {429, 503}:
        assert int(answer.headers["retry-after"]) > 0


def request(*lines: str | bytes, body: bytes = b"", first: str = "GET / HTTP/1.1") -> bytes:
    """A raw request; strings are ASCII."""
    encoded = [line.encode() if isinstance(line, str) else line for line in (first, "Host: here", *lines)]
    return b"\r\n".join(encoded) + b"\r\n\r\n" + body


def limited(**limits: int) -> GatewayLimits:
    values = {"connections": 1000, "requests": 100_000, "uploads": 1000} | limits
    return GatewayLimits(**values, body_bytes=WIDE.body_bytes, all_connections=WIDE.all_connections)


def applications(*replicas: Backend, prefixes: tuple[str, ...] = ()) -> dict[str, Any]:
    """The parts of the answer of Serve's REST API that are read."""
    proxy = {"ip": LOOPBACK, "port": 1, "name": "SERVE_PROXY_ACTOR-1"}
    targets = [{"ip": LOOPBACK, "port": one.port, "name": f"SERVE_REPLICA::{one.port}"} for one in replicas]
    group = {"protocol": "HTTP", "app_name": "semblance", "route_prefix": "/", "targets": targets or [proxy]}
    others = [group | {"app_name": prefix, "route_prefix": prefix} for prefix in prefixes]
    return {"target_groups": [group, *others], "proxies": {"node": {"actor_name": proxy["name"]}}}


def server_of(front: Gateway) -> int:
    answer = httpx.get(f"{front.url}/")
    port: int = answer.json()["server"] if answer.is_success else 0
    return port
