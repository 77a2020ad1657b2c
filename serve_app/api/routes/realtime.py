"""Realtime events over WebSocket and as server-sent events. docs/realtime.md describes the protocol."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Header, Query, Request, Security
from fastapi.sse import format_sse_event
from starlette.requests import HTTPConnection
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive
from starlette.websockets import WebSocket, WebSocketDisconnect

from db.profiles import Profile
from semblance.errors import (
    BadInputError,
    DatabaseError,
    IdentityProviderError,
    SemblanceError,
    UnauthorizedError,
)
from serve_app.api.errors import status_of
from serve_app.api.identity import PUBLIC, authenticate, user_bearer
from serve_app.api.responses import errors
from serve_app.api.services import Injected, Services
from serve_app.auth import Session, bearer_token
from serve_app.realtime.frames import CHANNELS, Channel, Frame
from serve_app.realtime.subscription import (
    EXPIRED,
    SIGNED_OUT,
    SLOW,
    TOO_LONG,
    WINDOW_BYTES,
    End,
    Subscription,
)

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/realtime", tags=["realtime"])

LONGEST_S = 50 * 60.0
"""Longest life of a connection; `request_timeout_s` of serve_config.yaml would end it less politely."""

LONGEST_STREAM_S = 10 * 60.0
"""As LONGEST_S, of server-sent events: nothing tells how much of them has arrived."""

SUBPROTOCOL = "bearer"
"""What a browser, which can set no header, offers with its token: `new WebSocket(url, ["bearer", token])`."""

_RETRY_MS = 1000
"""How long `EventSource` waits before it reconnects."""

_GRACE_S = 1.0
"""How long a connection that is to end may take to send what it is sending."""

_REFUSED = 4000
"""Close codes of refusals are this plus the HTTP status; 4000 to 4999 are free for applications."""

_REASON_BYTES = 123
"""Room for a sentence in a close frame (RFC 6455, section 5.5)."""

_EVENT_ID_DIGITS = 18
"""As many as always fit a bigint."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client asks for, checked. token: what it came with, if anything, and session: which one that is
    of."""

    user: Profile | None
    channels: frozenset[Channel]
    last_event_id: int | None
    token: str | None
    session: Session | None


async def check_wish(
    services: Services,
    *,
    authorization: str | None,
    access_token: str | None,
    channels: str | None,
    last_event_id: str | None,
) -> Wish:
    """What a client asks for in its header, or else in its query.

    Raises BadInputError for an unknown channel or event id, UnauthorizedError for a token that is not valid
    and for channels that need one, and what `authenticate` raises.
    """
    token = bearer_token(authorization) if authorization is not None else access_token
    wanted = _channels(channels, guest=token is None)
    after = _event_id(last_event_id)
    if token is None:
        return Wish(None, wanted, after, None, None)
    signed_in = await authenticate(services, token)
    return Wish(signed_in.user, wanted, after, token, signed_in.session)


@router.websocket("")
async def realtime(socket: WebSocket, services: Injected) -> None:
    """Events as text messages, one JSON object each; answer a `ping` with `{"type": "pong"}`."""
    offered: list[str] = socket.scope.get("subprotocols", [])
    spoken = SUBPROTOCOL in offered
    # Accepted before it may be refused: a browser tells its page the code of a close, but no HTTP status.
    await socket.accept(subprotocol=SUBPROTOCOL if spoken else None)
    end: End | None
    try:
        wish = await check_wish(
            services,
            authorization=socket.headers.get("authorization"),
            access_token=(
                next((name for name in offered if name != SUBPROTOCOL), "")
                if spoken
                else socket.query_params.get("access_token")
            ),
            channels=socket.query_params.get("channels"),
            last_event_id=socket.headers.get("last-event-id") or socket.query_params.get("last_event_id"),
        )
        async with _joined(services, socket, wish, LONGEST_S) as client:
            end = await _serve(services, socket, client)
    except SemblanceError as exc:
        end = End(_REFUSED + status_of(exc), exc.answer.encode()[:_REASON_BYTES].decode(errors="ignore"))
        if isinstance(exc, DatabaseError):
            logger.warning("a realtime connection ends: %s", exc)
    if end is not None:
        with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            async with asyncio.timeout(_GRACE_S):
                await socket.close(end.code, end.reason)


async def open_stream(  # noqa: PLR0917 - FastAPI names them
    request: Request,
    services: Injected,
    _: Annotated[object, Security(user_bearer)],
    channels: Annotated[
        str | None,
        Query(
            max_length=200,
            description="Some of feed, matches, jobs, messages, notifications, presence, between commas. "
            "Unset: all, for guests `feed`.",
            examples=["feed,messages"],
        ),
    ] = None,
    access_token: Annotated[
        str | None, Query(max_length=8192, description="The access token, for those who can set no header.")
    ] = None,
    last_event_id: Annotated[
        str | None,
        Query(max_length=20, description="Go on after this event; the header wins.", examples=["17"]),
    ] = None,
    last_event_id_header: Annotated[str | None, Header(alias="Last-Event-ID", max_length=20)] = None,
) -> AsyncIterator[Subscription]:
    """The client of a request for server-sent events, for as long as it is answered."""
    wish = await check_wish(
        services,
        authorization=request.headers.get("authorization"),
        access_token=access_token,
        channels=channels,
        last_event_id=last_event_id_header or last_event_id,
    )
    async with _joined(services, request, wish, LONGEST_STREAM_S) as client:
        yield client


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
"""OpenAPI for a stream, for which FastAPI has no schema."""


class EventStream(StreamingResponse):
    """Server-sent events that also end when the server wants them to, even while the client does not read."""

    media_type = "text/event-stream"

    def __init__(self, client: Subscription, content: AsyncIterator[bytes]) -> None:
        super().__init__(content, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._client = client

    async def listen_for_disconnect(self, receive: Receive) -> None:
        await _first(super().listen_for_disconnect(receive), _ended(self._client))


@router.get(
    "/events",
    response_class=Response,
    responses={**errors(400, 429), **EVENT_STREAM},
    openapi_extra=PUBLIC,
)
async def realtime_events(
    services: Injected, client: Annotated[Subscription, Depends(open_stream)]
) -> EventStream:
    """The same events as over WebSocket, as server-sent events without end; `EventSource` reconnects by
    itself."""
    return EventStream(client, _stream(services, client))


async def _serve(services: Services, socket: WebSocket, client: Subscription) -> End | None:
    """Send and listen until one side ends it; None where the client has."""
    window = _Window()
    with suppress(WebSocketDisconnect, RuntimeError):
        await _first(_send(services, socket, client, window), _receive(socket, window), _ended(client))
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


async def _receive(socket: WebSocket, window: _Window) -> None:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        window.heard()
        if _kind(message.get("text")) == "ping":
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
    """How much has been sent to a client that it has not shown to have received."""

    def __init__(self) -> None:
        self._total = 0
        self._proven = 0
        self._asked_at: int | None = None

    @property
    def used(self) -> int:
        """In bytes, or a little less: characters."""
        return self._total - self._proven

    @property
    def asks(self) -> bool:
        """Whether it is time to ask for a sign, as each ping does."""
        return self._asked_at is None and self.used > WINDOW_BYTES // 2

    def sent(self, frame: Frame) -> None:
        self._total += len(frame.text)
        if frame.type == "ping" and self._asked_at is None:
            self._asked_at = self._total

    def heard(self) -> None:
        """The client has answered."""
        if self._asked_at is not None:
            self._proven, self._asked_at = self._asked_at, None


@asynccontextmanager
async def _joined(
    services: Services, connection: HTTPConnection, wish: Wish, longest: float
) -> AsyncIterator[Subscription]:
    base_url = services.settings.public_url or str(connection.base_url)
    if base_url.startswith("ws"):
        base_url = base_url.replace("ws", "http", 1)
    profile_id = None if wish.user is None else wish.user.id
    key = None if wish.session is None else wish.session.key
    async with services.hub.join(profile_id, wish.channels, base_url, wish.last_event_id, key) as client:
        loop = asyncio.get_running_loop()
        timers = [loop.call_later(longest, client.stop, TOO_LONG)]
        if wish.session is not None:
            timers.append(loop.call_later(wish.session.ends_at - time.time(), client.stop, EXPIRED))
        watch = asyncio.create_task(_watch_session(services, wish.token, client))
        try:
            yield client
        finally:
            watch.cancel()
            for timer in timers:
                timer.cancel()


async def _watch_session(services: Services, token: str | None, client: Subscription) -> None:
    """Where sessions are asked for at the identity provider, do so while the connection is open."""
    every = services.settings.session_check_seconds
    while token is not None and every is not None:
        await asyncio.sleep(every)
        try:
            await services.tokens.verify(token)
        except UnauthorizedError:
            client.stop(SIGNED_OUT)
            return
        except IdentityProviderError:
            # As with requests: whom it knew, it knows until it says otherwise.
            continue


async def _ended(client: Subscription) -> None:
    """Return when the connection is to end and has had time to send what it was sending."""
    await client.ended.wait()
    await asyncio.sleep(_GRACE_S)


async def _first(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run them at once until one returns or raises, then end the others."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def _channels(text: str | None, *, guest: bool) -> frozenset[Channel]:
    if text is None:
        return frozenset(["feed"] if guest else CHANNELS)
    names = {name.strip() for name in text.split(",")}
    if unknown := names.difference(CHANNELS):
        known = ", ".join(CHANNELS)
        raise BadInputError(f"There is no channel {min(unknown)!r}; choose from {known}.")
    if guest and names != {"feed"}:
        raise UnauthorizedError("Guests may listen to the channel 'feed' only; send an access token.")
    return frozenset(cast(set[Channel], names))


def _event_id(text: str | None) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _EVENT_ID_DIGITS):
        raise BadInputError("The last event id is none; send back the id of an event as it is.")
    return int(text)


def _kind(text: str | None) -> object:
    """The type of a client's message, None where it is none."""
    try:
        message = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    return message.get("type") if isinstance(message, dict) else None
