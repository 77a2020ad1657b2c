"""The API behind the gateway, as clients reach it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from ops.stack.gateway import Gateway
from ops.stack.gateway_config import Timeouts
from tests.support.api import Api
from tests.support.gateway import gateway, raw
from tests.support.realtime import Server, serving
from tests.support.waiting import PATIENCE_S


@asynccontextmanager
async def gateway_before(api: Api, folder: Path) -> AsyncIterator[Gateway]:
    async def replica(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") == "/-/healthz":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"success"})
        else:
            await api.app(scope, receive, send)

    async with serving(cast(FastAPI, replica)) as server:
        port = int(server.http.rpartition(":")[2])
        with gateway(folder, ("127.0.0.1", port), timeouts=Timeouts(idle=30)) as front:
            async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient(base_url=front.url) as client:
                while (await client.get("/health")).status_code != 200:  # noqa: ASYNC110 - nothing tells when
                    await asyncio.sleep(0.05)
            yield front


async def test_answers_and_errors_of_the_api_come_as_they_are(api: Api, tmp_path: Path) -> None:
    async with gateway_before(api, tmp_path) as front, httpx.AsyncClient(base_url=front.url) as client:
        user = api.user()
        me = await client.get("/api/auth/me", headers=user.headers)
        assert (me.status_code, me.json()["id"]) == (200, str(user.id))
        for path, status, code in (
            ("/nowhere", 404, "not_found"),
            ("/api/auth/me", 401, "unauthorized"),
            ("/api/matches/top?limit=x", 422, "invalid_request"),
        ):
            answer = await client.get(path, headers={"X-Request-ID": "mine"})
            assert (answer.status_code, answer.json()["code"]) == (status, code)
            assert answer.json()["request_id"] == answer.headers["x-request-id"] == "mine"


async def test_realtime_events_come_through(api: Api, tmp_path: Path) -> None:
    async with gateway_before(api, tmp_path) as front:
        address = front.url.removeprefix("http://")
        async with Server(front.url, f"ws://{address}").listen(api.user()) as listener:
            assert (await listener.hello())["type"] == "hello"
        async with (
            httpx.AsyncClient(base_url=front.url) as client,
            client.stream("GET", "/api/realtime/events", timeout=PATIENCE_S) as answer,
        ):
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for line in answer.aiter_lines():
                if "hello" in line:
                    break


@pytest.mark.parametrize("name", [b"X-Forwarded-For", b"X-Forwarded-Proto", b"Host"])
async def test_trailers_do_not_say_who_the_client_is(api: Api, tmp_path: Path, name: bytes) -> None:
    """The server below the API takes those of a small body for headers, and the last address for the
    client's, by which failed attempts to sign in are counted."""
    lines = b"POST /api/console/session HTTP/1.1", b"Host: a", b"Content-Type: application/json"
    trailed = b"\r\n".join(
        (*lines, b"Transfer-Encoding: chunked", b"", b"e", b'{"code":"none"}'[:14], b"1", b"}", b"0",
         name + b": 203.0.113.9", b"", b"")
    )  # fmt: skip
    async with gateway_before(api, tmp_path) as front:
        answer = await asyncio.to_thread(raw, front, trailed)
    assert (answer.status, answer.json()["code"]) == (400, "bad_input")


HEADERS = (
    b"Accept", b"Authorization", b"Content-Type", b"Cookie", b"Idempotency-Key", b"If-None-Match",
    b"Last-Event-ID", b"Origin", b"Range", b"Referer", b"Sec-WebSocket-Protocol", b"Traceparent",
    b"User-Agent", b"X-Request-ID", b"X-Session-Id", b"X-Request-Timeout-Seconds",
    b"serve_multiplexed_model_id",
)  # fmt: skip
ROUTES = (b"GET /api/matches/top", b"GET /api/auth/me", b"POST /extract-embedding")


async def test_bytes_beyond_ascii_cause_no_internal_error_in_any_header(api: Api, tmp_path: Path) -> None:
    async with gateway_before(api, tmp_path) as front:
        for route in ROUTES:
            for header in HEADERS:
                for value in ("Zoë".encode(), b"Bearer \xff\xfe"):
                    sent = route + b" HTTP/1.1\r\nHost: here\r\n" + header + b": " + value + b"\r\n\r\n"
                    answer = await asyncio.to_thread(raw, front, sent)
                    assert 200 <= answer.status < 500, (route, header, value, answer)
                    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("host", ["evil.example/x", "a b", "[::1", "<script>", "a,b"])
async def test_an_invalid_host_reaches_no_link(api: Api, tmp_path: Path, host: str) -> None:
    async with gateway_before(api, tmp_path) as front:
        sent = f"GET /api/matches/top HTTP/1.1\r\nHost: {host}\r\n\r\n"
        assert (await asyncio.to_thread(raw, front, sent.encode())).status == 400
