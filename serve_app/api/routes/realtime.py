"""Realtime events over WebSocket and as server-sent events. docs/realtime.md describes the protocol."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import Any

from fastapi.sse import format_sse_event
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive
from starlette.websockets import WebSocket, WebSocketDisconnect

from semblance.errors import DatabaseError, SemblanceError
from serve_app.api.dependencies import EventStreamClient, Injected
from serve_app.api.errors import status_of
from serve_app.api.realtime_clients import LONGEST_S, check_request, joined
from serve_app.api.responses import PUBLIC, errors
from serve_app.api.services import Services
from serve_app.api.topics import Topic
from serve_app.realtime.frames import Frame
from serve_app.realtime.subscription import (
    SLOW,
    TOO_LARGE,
    TOO_OFTEN,
    WINDOW_BYTES,
    End,
    Pace,
    Subscription,
)

logger = logging.getLogger(__name__)

router = Topic(prefix="/realtime", tags=["realtime"])

SUBPROTOCOL = "bearer"
"""The subprotocol with which a browser, which can set no header, sends its token:
`new WebSocket(url, ["bearer", token])`."""

_RETRY_MS = 1000
"""How long `EventSource` waits before it reconnects."""

_GRACE_S = 1.0
"""How long a connection that must end may take to send what it is sending."""

_REFUSED = 4000
"""Close codes of refusals are this plus the HTTP status; 4000 to 4999 are for applications."""

_LONGEST_MESSAGE = 1024
"""Characters, or bytes, of a client's message. A ping has fifteen."""

_REASON_BYTES = 123
"""Longest sentence in a close frame (RFC 6455, section 5.5)."""


@router.websocket("")
async def realtime(socket: WebSocket, services: Injected) -> None:
    """Events as text messages, one JSON object each; answer a `ping` with `{"type": "pong"}`."""
    offered: list[str] = socket.scope.get("subprotocols", [])
    spoken = SUBPROTOCOL in offered
    # Accepted before it may be refused: a browser tells its page the close code, but not the HTTP status.
    await socket.accept(subprotocol=SUBPROTOCOL if spoken else None)
    end: End | None
    try:
        asked = await check_request(
            services,
            socket,
            authorization=socket.headers.get("authorization"),
            access_token=(
                next((name for name in offered if name != SUBPROTOCOL), "")
                if spoken
                else socket.query_params.get("access_token")
            ),
            channels=socket.query_params.get("channels"),
            last_event_id=socket.headers.get("last-event-id") or socket.query_params.get("last_event_id"),
        )
        async with joined(services, socket, asked, LONGEST_S) as client:
            end = await _serve(services, socket, client)
    except SemblanceError as exc:
        reason = exc.answer.encode()[:_REASON_BYTES].decode(errors="ignore")
        end = End(_REFUSED + status_of(exc), reason)
        if isinstance(exc, DatabaseError):
            logger.warning("a realtime connection ends: %s", exc)
    if end is not None:
        with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            async with asyncio.timeout(_GRACE_S):
                await socket.close(end.code, end.reason)


EVENT_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "text/event-stream": {
                "schema": {
                    "type": "object",
                    "description": "One event; `data` is the JSON that the WebSocket sends.",
                    "properties": {
                        "id": {"type": "string"},
                        "event": {"type": "string"},
                        "data": {"type": "string"},
                    },
                }
            }
        }
    }
}
"""OpenAPI for a stream, which FastAPI cannot describe."""


class EventStream(StreamingResponse):
    """Server-sent events that the server can end, even while the client does not read."""

    media_type = "text/event-stream"

    def __init__(self, client: Subscription, content: AsyncIterator[bytes]) -> None:
        super().__init__(content, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._client = client

    async def listen_for_disconnect(self, receive: Receive) -> None:
        await _first(super().listen_for_disconnect(receive), _ended(self._client))


@router.get("", include_in_schema=False)
async def realtime_without_upgrade() -> None:
    """What a client gets that asks as for a page, or behind a proxy that does not pass an upgrade on."""
    raise HTTPException(
        HTTPStatus.UPGRADE_REQUIRED,
        "This is a WebSocket. GET /api/realtime/events has the same events without one.",
        {"Upgrade": "websocket", "Connection": "Upgrade"},
    )


@router.get(
    "/events",
    response_class=Response,
    responses={**errors(400, 429), **EVENT_STREAM},
    openapi_extra=PUBLIC,
)
async def realtime_events(services: Injected, client: EventStreamClient) -> EventStream:
    """The same events as over WebSocket, as an endless stream of server-sent events. `EventSource`
    reconnects by itself."""
    return EventStream(client, _stream(services, client))


async def _serve(services: Services, socket: WebSocket, client: Subscription) -> End | None:
    """Send and listen until one side ends the connection; None if the client did."""
    window = _Window()
    with suppress(WebSocketDisconnect, RuntimeError):
        await _first(
            _send(services, socket, client, window), _receive(socket, client, window), _ended(client)
        )
    return client.end


async def _send(services: Services, socket: WebSocket, client: Subscription, window: _Window) -> None:
    async with aclosing(services.hub.frames(client)) as batches:
        async for batch in batches:
            for frame in batch:
                await socket.send_text(frame.text)
                window.sent(frame)
                if window.asks:
                    ping = Frame.of(frame.id, "ping", {})
                    await socket.send_text(ping.text)
                    window.sent(ping)
                if window.used > WINDOW_BYTES:
                    client.stop(SLOW)
                    return


async def _receive(socket: WebSocket, client: Subscription, window: _Window) -> None:
    pace = Pace(time.monotonic())
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        if len(text or message.get("bytes") or "") > _LONGEST_MESSAGE:
            client.stop(TOO_LARGE)
            return
        if not pace.allows(time.monotonic()):
            client.stop(TOO_OFTEN)
            return
        window.heard()
        if _kind(text) == "ping":
            await socket.send_text('{"type":"pong"}')


async def _stream(services: Services, client: Subscription) -> AsyncGenerator[bytes]:
    yield format_sse_event(retry=_RETRY_MS)
    sent = 0
    async with aclosing(services.hub.frames(client)) as batches:
        async for batch in batches:
            chunk = b"".join(frame.sse for frame in batch)
            yield chunk
            sent += len(chunk)
            if sent > WINDOW_BYTES:
                return
    if client.end is not None:
        end = {"type": "end", "data": {"code": client.end.code, "reason": client.end.reason}}
        yield format_sse_event(event="end", data_str=json.dumps(end))


class _Window:
    """How much was sent to a client and not yet confirmed by it."""

    def __init__(self) -> None:
        self._total = 0
        self._proven = 0
        self._asked_at: int | None = None

    @property
    def used(self) -> int:
        """In characters, so at most the number of bytes."""
        return self._total - self._proven

    @property
    def asks(self) -> bool:
        """Whether it is time to ask for a sign of life by a ping."""
        return self._asked_at is None and self.used > WINDOW_BYTES // 2

    def sent(self, frame: Frame) -> None:
        self._total += len(frame.text)
        if frame.type == "ping" and self._asked_at is None:
            self._asked_at = self._total

    def heard(self) -> None:
        """The client has answered."""
        if self._asked_at is not None:
            self._proven, self._asked_at = self._asked_at, None


async def _ended(client: Subscription) -> None:
    """Return when the connection must end and has had time to send what it was sending."""
    await client.ended.wait()
    await asyncio.sleep(_GRACE_S)


async def _first(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run all at the same time until one returns or raises, then cancel the others."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def _kind(text: str | None) -> object:
    """The type of a client's message; None if it is not valid."""
    try:
        message = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    return message.get("type") if isinstance(message, dict) else None
