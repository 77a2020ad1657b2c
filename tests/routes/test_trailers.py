"""A client cannot say by trailers what only the gateway may say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from websockets import http11

from serve_app.direct_reads import middlewares
from tests.support.gateway import LOOPBACK, gateway_before, raw

REQUEST = b"""GET / HTTP/1.1\r
Host: here\r
X-Request-ID: mine\r
Transfer-Encoding: chunked\r
\r
1\r
a\r
0\r
X-Forwarded-For: 6.6.6.6\r
X-Forwarded-Proto: https\r
X-Request-ID: forged\r
X-Trailer: x\r
\r
"""


def test_trailers_say_nothing_about_the_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Other tests get the server as it was.
    monkeypatch.setattr(HttpToolsProtocol, "on_header", HttpToolsProtocol.on_header)
    monkeypatch.setattr(http11, "MAX_LINE_LENGTH", http11.MAX_LINE_LENGTH)
    middlewares()
    with gateway_before(tmp_path) as (front, _):
        for _again in range(2):
            seen = json.loads(raw(front, REQUEST).body)
            assert (seen["client"], seen["scheme"], seen["bytes"]) == (LOOPBACK, "http", 1)
            names = [name for name, _ in seen["headers"]]
            assert sorted(names) == sorted({*names})
            assert "x-trailer" not in names
            assert dict(seen["headers"])["x-request-id"] == "mine"
