"""A WebSocket may begin with all that the gateway passes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from websockets import http11
from websockets.sync.client import connect

from serve_app.direct_reads import middlewares
from tests.support.gateway import gateway_before
from tests.support.waiting import PATIENCE_S


@pytest.mark.parametrize(
    ("query", "cookies"),
    [("", 15_000), ("?access_token=" + "a" * 8192, 0), ("?x=" + "a" * 25_000, 0)],
    ids=["cookies", "token", "address"],
)
def test_a_websocket_may_begin_with_long_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: str, cookies: int
) -> None:
    # Other tests get the server as it was.
    monkeypatch.setattr(HttpToolsProtocol, "on_header", HttpToolsProtocol.on_header)
    monkeypatch.setattr(http11, "MAX_LINE_LENGTH", http11.MAX_LINE_LENGTH)
    middlewares()
    with (
        gateway_before(tmp_path) as (front, _),
        connect(
            f"ws{front.url.removeprefix('http')}/socket{query}",
            additional_headers={"Cookie": "a=" + "b" * cookies},
            open_timeout=PATIENCE_S,
        ) as connection,
    ):
        connection.send("hello")
        assert connection.recv(timeout=PATIENCE_S) == "hello"
