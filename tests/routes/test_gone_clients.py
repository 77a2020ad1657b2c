"""A client that leaves while Serve's proxy hands on a body is no fault of the service."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, RayError, TaskCancelledError
from starlette.types import Message, Receive, Scope, Send

from serve_app.app import API
from serve_app.gone_clients import GoneClientMiddleware
from tests.support.api import API_KEY, Api
from tests.support.direct import scope_of
from tests.support.photos import ASTRONAUT

GONE = [TaskCancelledError(), ActorDiedError()]


class Leaving:
    """What Serve hands on of a client that leaves."""

    def __init__(self, parts: list[Message], gone: RayError) -> None:
        self._parts = parts
        self._gone = gone

    async def receive(self) -> Message:
        if self._parts:
            return self._parts.pop(0)
        raise self._gone


def upload(path: str) -> Scope:
    headers = {
        b"host": b"api",
        b"authorization": f"Bearer {API_KEY}".encode(),
        b"content-type": b"image/jpeg",
        b"content-length": str(ASTRONAUT.stat().st_size).encode(),
    }
    return scope_of("POST", path, headers=headers)


@pytest.mark.parametrize("gone", GONE, ids=["cancelled", "dead"])
@pytest.mark.parametrize("path", ["/lookalikes", "/render-photo"])
async def test_an_upload_that_ends_early_is_no_fault(
    api: Api, caplog: pytest.LogCaptureFixture, gone: RayError, path: str
) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    part: Message = {"type": "http.request", "body": ASTRONAUT.read_bytes()[:1000], "more_body": True}
    await GoneClientMiddleware(api.app)(upload(path), Leaving([part], gone).receive, send)
    assert sent[0]["status"] == 408
    assert b"incomplete_body" in sent[1]["body"]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert api.app.state.limits.uploads._bytes._free == api.services.settings.max_upload_bytes


@pytest.mark.parametrize("gone", GONE, ids=["cancelled", "dead"])
@pytest.mark.parametrize(
    ("kind", "left"),
    [
        ("http", {"type": "http.disconnect"}),
        ("websocket", {"type": "websocket.disconnect", "code": 1006}),
    ],
)
async def test_a_client_that_has_left_does_not_come_back(gone: RayError, kind: str, left: Message) -> None:
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.extend([await receive(), await receive(), await receive()])

    async def send(message: Message) -> None:
        raise AssertionError("Nobody sends.")

    leaving = Leaving([{"type": f"{kind}.connect"}], gone)
    await GoneClientMiddleware(app)({"type": kind}, leaving.receive, send)
    assert heard == [{"type": f"{kind}.connect"}, left, left]


@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:4318"])
def test_the_application_in_serve_is_told(api: Api, endpoint: str | None) -> None:
    deployed: Any = object.__new__(API)
    deployed._reads = None
    deployed._settings = api.services.settings.model_copy(update={"otlp_endpoint": endpoint})
    built = deployed.__serve_build_asgi_app__()
    [outermost, *_] = (deployed._reads or built).user_middleware
    assert outermost.cls is GoneClientMiddleware
