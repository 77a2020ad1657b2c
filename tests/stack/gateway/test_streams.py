"""Events and WebSockets through the gateway."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect as connect_socket

from ops.stack.gateway import Gateway
from ops.stack.gateway_config import Timeouts
from tests.support.gateway import (
    HANDSHAKE,
    QUICK,
    Backend,
    gateway_before,
    is_contract,
    raw,
    request,
)
from tests.support.waiting import PATIENCE_S


def test_events_stream_while_the_client_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For longer than it may be silent while it sends something; and none waits for the next one."""
    lines: list[str] = []
    with gateway_before(tmp_path, timeouts=Timeouts(body=QUICK.body)) as (front, behind):
        monkeypatch.setattr(behind, "may_send", lambda number: len(lines) >= number)
        with httpx.stream("GET", f"{front.url}/events", timeout=PATIENCE_S) as answer:
            lines.extend(line for line in answer.iter_lines() if line)
    assert lines == [f"data: {number}" for number in range(4)]


def test_a_websocket_goes_through_and_outlives_the_silence_of_others(tmp_path: Path) -> None:
    with (
        gateway_before(tmp_path, timeouts=Timeouts(body=QUICK.body)) as (front, _),
        connect_socket(f"ws{front.url.removeprefix('http')}/socket") as connection,
    ):
        # A compressed message of the greatest length has a few kilobytes.
        assert not connection.protocol.extensions
        connection.send("one")
        assert connection.recv(timeout=PATIENCE_S) == "one"
        time.sleep(QUICK.body * 2)
        connection.send("two")
        assert connection.recv(timeout=PATIENCE_S) == "two"


def test_a_client_cannot_flood_a_websocket(front: Gateway) -> None:
    with connect_socket(f"ws{front.url.removeprefix('http')}/socket") as connection:
        connection.send("one")
        assert connection.recv(timeout=PATIENCE_S) == "one"
        connection.send("a" * 500_000)
        with pytest.raises(TimeoutError):
            connection.recv(timeout=2)
        connection.socket.close()


def test_a_websocket_to_nowhere_is_refused_in_the_contracts_shape(front: Gateway) -> None:
    is_contract(raw(front, request(*HANDSHAKE, first="GET /nowhere HTTP/1.1")), 404, "not_found")


def test_only_a_read_opens_a_websocket(front: Gateway) -> None:
    answer = raw(front, request(*HANDSHAKE, "Content-Length: 0", first="POST /socket HTTP/1.1"))
    assert answer.status == 200
    assert not {name for name, _ in answer.json()["headers"]} & {"upgrade"}


@pytest.mark.parametrize(
    ("length", "body"),
    [("Content-Length: 3", b"abc"), ("Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n\r\n")],
    ids=["length", "chunks"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_with_a_body_opens_no_websocket(
    front: Gateway, method: str, length: str, body: bytes
) -> None:
    """A server that answers an upgrade does not read the body, and HAProxy would wait until it does."""
    answer = raw(front, request(*HANDSHAKE, length, first=f"{method} /socket HTTP/1.1", body=body))
    assert answer.status == 200
    assert answer.json()["bytes"] == 3


def test_an_upgrade_takes_no_request_to_a_server_before_its_body(hasty: tuple[Gateway, Backend]) -> None:
    front, behind = hasty
    behind.seen.clear()
    for method in ("GET", "POST"):
        sent = request(*HANDSHAKE, "Content-Length: 3", first=f"{method} /socket HTTP/1.1")
        is_contract(raw(front, sent), 408, "timeout")
    assert not behind.seen
