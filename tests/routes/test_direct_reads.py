"""Which requests go past Serve's own work, and which do not."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

import pytest
from ray.serve._private.http_util import validate_http_proxy_callback_return
from ray.serve.context import _get_serve_request_context
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from websockets import http11

from ops.stack.ray_head import SERVE_FLAGS
from serve_app.direct_reads import DirectReads

READ: dict[str, Any] = {
    "type": "http",
    "method": "GET",
    "path": "/api/notifications",
    "headers": [
        (b"host", b"localhost"),
        (b"x-request-id", b"a-read"),
        (b"x-request-disconnect-disabled", b"?1"),
    ],
}


class Answers:
    """An application that notes the id by which the deployments that it asks know the request."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.ids.append(_get_serve_request_context().request_id)


@pytest.fixture
def serve() -> Answers:
    return Answers()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Answers:
    monkeypatch.setattr(DirectReads, "_opened", None)
    return Answers()


async def ask(app: ASGIApp, scope: dict[str, Any]) -> None:
    async def receive() -> Any:
        raise AssertionError("Nobody receives.")

    async def send(message: Any) -> None:
        raise AssertionError("Nobody sends.")

    # As an HTTP server does it, so that no request sees what another one set.
    await asyncio.create_task(app(scope, receive, send))  # type: ignore[arg-type]


async def test_a_plain_read_goes_to_the_application_with_its_id(serve: Answers, api: Answers) -> None:
    DirectReads.open(api)
    await ask(DirectReads(serve), READ)
    assert (serve.ids, api.ids) == ([], ["a-read"])


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "POST"},
        {"type": "websocket"},
        {"path": "/api/realtime/events"},
        {"path": "/-/healthz"},
        {"headers": READ["headers"][:2]},
        {"headers": [*READ["headers"][:2], (b"x-request-disconnect-disabled", b"?0")]},
    ],
    ids=["change", "socket", "stream", "health of the replica", "unmarked", "watched"],
)
async def test_all_else_goes_through_serve(serve: Answers, api: Answers, changed: dict[str, Any]) -> None:
    DirectReads.open(api)
    await ask(DirectReads(serve), READ | changed)
    assert (len(serve.ids), len(api.ids)) == (1, 0)


async def test_a_server_without_the_application_passes_reads_to_serve(serve: Answers, api: Answers) -> None:
    await ask(DirectReads(serve), READ)
    assert (len(serve.ids), len(api.ids)) == (1, 0)


def test_a_server_on_another_loop_passes_reads_to_serve(serve: Answers, api: Answers) -> None:
    async def open_here() -> None:
        DirectReads.open(api)

    asyncio.run(open_here())
    asyncio.run(ask(DirectReads(serve), READ))
    assert (len(serve.ids), len(api.ids)) == (1, 0)


def test_serve_finds_the_middleware_by_the_path_that_the_stack_gives_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Other tests get the server as it was.
    monkeypatch.setattr(HttpToolsProtocol, "on_header", HttpToolsProtocol.on_header)
    monkeypatch.setattr(http11, "MAX_LINE_LENGTH", http11.MAX_LINE_LENGTH)
    module, _, name = SERVE_FLAGS["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"].rpartition(".")
    [given] = validate_http_proxy_callback_return(getattr(importlib.import_module(module), name)())
    assert repr(given) == "Middleware(DirectReads)"
