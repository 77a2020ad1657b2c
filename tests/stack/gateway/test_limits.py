"""Clients that are slow, idle, or ask for too much."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from ops.stack.gateway import Gateway
from ops.stack.gateway_config import Timeouts
from tests.support.gateway import (
    CLIENT,
    LOOPBACK,
    OTHER,
    Backend,
    connect,
    gateway_before,
    is_contract,
    limited,
    raw,
    read_answer,
    request,
    wait_for_uploads,
)
from tests.support.waiting import PATIENCE_S


def test_half_a_request_is_ended(hasty: tuple[Gateway, Backend]) -> None:
    front, behind = hasty
    behind.seen.clear()
    for sent in (b"", b"GET / HTTP/1.1\r\nHos"):
        with connect(front) as connection:
            connection.sendall(sent)
            while connection.recv(1000):
                pass
    assert not behind.seen


def test_an_idle_connection_is_ended(tmp_path: Path) -> None:
    with gateway_before(tmp_path, timeouts=Timeouts(idle=0.5)) as (front, _), connect(front) as connection:
        connection.sendall(request())
        assert read_answer(connection).status == 200
        assert connection.recv(1) == b""


@pytest.mark.parametrize("framing", ["Content-Length: 50000", "Transfer-Encoding: chunked"])
def test_a_body_that_does_not_arrive_reaches_no_server(hasty: tuple[Gateway, Backend], framing: str) -> None:
    front, behind = hasty
    behind.seen.clear()
    answer = raw(front, request(framing, first="POST / HTTP/1.1", body=b"5\r\nhello\r\n"))
    is_contract(answer, 408, "timeout")
    assert answer.closed or answer.headers["connection"] == "close"
    assert not behind.seen


def test_a_body_over_a_slow_line_arrives(tmp_path: Path) -> None:
    """It takes longer than its timeout in total, but is never silent for as long."""
    parts, timeouts = 8, Timeouts(body=3)
    with gateway_before(tmp_path, timeouts=timeouts) as (front, _), connect(front) as connection:
        connection.sendall(request(f"Content-Length: {parts * 5000}", first="POST / HTTP/1.1"))
        for _ in range(parts):
            connection.sendall(b"x" * 5000)
            time.sleep(1.2 * timeouts.body / parts)
        assert read_answer(connection).json()["bytes"] == parts * 5000


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_arrives_whole(front: Gateway, chunked: bool) -> None:
    body = b"x" * 10_000_000
    sent: Any = (body[start : start + 1_000_000] for start in range(0, len(body), 1_000_000))
    answer = httpx.post(f"{front.url}/", content=sent if chunked else body, timeout=PATIENCE_S)
    assert answer.json()["bytes"] == len(body)


def test_a_connection_is_kept_for_the_next_request(front: Gateway) -> None:
    with connect(front) as connection:
        for number in range(3):
            connection.sendall(request(f"X-Request-ID: number-{number}"))
            assert read_answer(connection).headers["x-request-id"] == f"number-{number}"


def ask(front: Gateway, client: str) -> httpx.Response:
    return httpx.get(f"{front.url}/", headers={"X-Forwarded-For": client})


def test_requests_of_one_address_are_limited_without_affecting_others(tmp_path: Path) -> None:
    trusted = (LOOPBACK,)
    with gateway_before(tmp_path, limits=limited(requests=5), trusted_proxies=trusted) as (front, _):
        answers = [ask(front, CLIENT) for _ in range(8)]
        assert [answer.status_code for answer in answers].count(200) == 5
        is_contract(answers[-1], 429, "too_many_requests")
        assert ask(front, OTHER).is_success


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("2001:db8::1", "2001:db8::ffff:2", True), ("2001:db8::1", "2001:db8:0:1::1", False)],
)
def test_an_ipv6_network_of_one_customer_is_one_address(
    tmp_path: Path, one: str, other: str, same: bool
) -> None:
    trusted = (LOOPBACK,)
    with gateway_before(tmp_path, limits=limited(requests=3), trusted_proxies=trusted) as (front, _):
        assert all(ask(front, one).is_success for _ in range(3))
        assert ask(front, other).is_success is not same


def test_uploads_of_one_address_are_limited_but_reads_are_not(tmp_path: Path) -> None:
    upload = request(f"X-Forwarded-For: {CLIENT}", "Content-Length: 100000", first="POST / HTTP/1.1")
    options: dict[str, Any] = {"limits": limited(uploads=2), "trusted_proxies": (LOOPBACK,)}
    with gateway_before(tmp_path, **options) as (front, _):
        with connect(front) as first, connect(front) as second:
            for connection in (first, second):
                connection.sendall(upload + b"x" * 50_000)
            # A third that the gateway saw before these would be one of two.
            wait_for_uploads(front, 2)
            is_contract(raw(front, upload), 429, "too_many_uploads")
            assert ask(front, CLIENT).is_success
            for connection in (first, second):
                connection.sendall(b"x" * 50_000)
                assert read_answer(connection).json()["bytes"] == 100_000
        # Those are over, so there is room.
        assert raw(front, upload + b"x" * 100_000).status == 200


def read_until(connection: socket.socket, text: bytes) -> None:
    """Read until the text, which may come in any number of parts."""
    received = b""
    while text not in received:
        part = connection.recv(1000)
        assert part, received
        received += part


def test_concurrent_requests_of_one_address_are_limited(tmp_path: Path) -> None:
    events = request(f"X-Forwarded-For: {CLIENT}", first="GET /events HTTP/1.1")
    options = {"limits": limited(connections=2), "trusted_proxies": (LOOPBACK,)}
    with (
        gateway_before(tmp_path, **options) as (front, _),
        connect(front) as first,
        connect(front) as second,
    ):
        for connection in (first, second):
            connection.sendall(events)
            read_until(connection, b"data: 0")
        is_contract(raw(front, events), 429, "too_many_connections")
        assert ask(front, OTHER).is_success


def test_this_machine_is_not_limited(tmp_path: Path) -> None:
    with gateway_before(tmp_path, limits=limited(requests=1, uploads=1, connections=1)) as (front, _):
        assert all(httpx.post(f"{front.url}/", content=b"x").is_success for _ in range(5))
