"""HAProxy with our configuration as clients see it, with no server, one server, and several."""

from __future__ import annotations

import dataclasses
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from websockets.sync.client import connect as connect_socket

from ops.stack.gateway import Gateway, connections_for
from ops.stack.gateway_config import ALIVE_PATH, GatewayConfig, GatewayLimits, Timeouts
from ops.stack.gateway_targets import Serve
from ops.stack.ports import free_ports
from ops.stack.processes import members
from semblance.errors import ConfigurationError
from semblance.logging import SAFE_REQUEST_ID
from tests.support.gateway import (
    LOOPBACK,
    QUICK,
    WIDE,
    Backend,
    RawAnswer,
    backend,
    connect,
    gateway,
    gateway_before,
    mortal_backend,
    raw,
    read_answer,
    until,
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


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with nothing behind it."""
    with gateway(tmp_path_factory.mktemp("alone"), NOWHERE) as running:
        until(lambda: httpx.get(f"{running.url}/").elapsed.total_seconds() < 0.5)
        yield running


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Backend]]:
    with gateway_before(tmp_path_factory.mktemp("before")) as pair:
        yield pair


@pytest.fixture
def front(before: tuple[Gateway, Backend]) -> Gateway:
    before[1].seen.clear()
    return before[0]


@pytest.fixture
def behind(before: tuple[Gateway, Backend]) -> Backend:
    return before[1]


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


# No server.


@pytest.mark.parametrize(
    "sent",
    [
        request(),
        request(first="POST /api/faces HTTP/1.1", body=b"a" * 100_000).replace(
            b"Host", b"Content-Length: 100000\r\nHost"
        ),
        request(*HANDSHAKE, first="GET /api/realtime HTTP/1.1"),
        request("Accept: text/event-stream", first="GET /api/realtime/events HTTP/1.1"),
    ],
    ids=["get", "post", "websocket", "sse"],
)
def test_every_request_without_a_server_is_asked_to_retry(alone: Gateway, sent: bytes) -> None:
    is_contract(raw(alone, sent), 503, "not_ready")


def test_it_reports_that_it_is_up_without_a_server(alone: Gateway) -> None:
    assert httpx.get(f"{alone.url}{ALIVE_PATH}").json() == {"status": "up"}
    assert alone.problem() is None


@pytest.mark.parametrize(
    "path", ["/-/routes", "/-/healthz", "/-/", "/%2D/routes", "/-%2froutes", "/-/gateway/x"]
)
def test_the_paths_of_serve_itself_are_hidden(front: Gateway, behind: Backend, path: str) -> None:
    is_contract(raw(front, request(first=f"GET {path} HTTP/1.1")), 404, "not_found")
    is_contract(raw(front, request(first=f"GET http://here{path} HTTP/1.1")), 404, "not_found")
    assert not behind.seen


# Answers that are not from the API.


@pytest.mark.parametrize("status", [404, 408, 500, 502, 503])
def test_an_answer_of_serve_itself_becomes_not_ready(
    front: Gateway, behind: Backend, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(behind, "plain", status)
    is_contract(httpx.get(f"{front.url}/api/config"), 503, "not_ready")


def test_an_answer_of_the_api_passes_unchanged_without_its_mark(front: Gateway) -> None:
    answer = httpx.get(f"{front.url}/bad-gateway")
    assert (answer.status_code, answer.json()) == (502, {"code": "baby_provider"})
    assert "x-semblance" not in answer.headers
    assert SAFE_REQUEST_ID.fullmatch(answer.headers["x-request-id"])


# Request ids.


def test_a_clients_own_id_reaches_the_api_and_comes_back(front: Gateway) -> None:
    answer = httpx.get(f"{front.url}/", headers={"X-Request-ID": "mine-1.2_3"})
    assert answer.headers.get_list("x-request-id") == ["mine-1.2_3"]
    assert ["x-request-id", "mine-1.2_3"] in answer.json()["headers"]


@pytest.mark.parametrize(
    "lines",
    [
        [b"X-Request-ID: caf\xc3\xa9"],
        [b"X-Request-ID: caf\xe9"],
        ["X-Request-ID: two words"],
        ["X-Request-ID: " + "a" * 129],
        ["X-Request-ID:"],
        ["X-Request-ID: one", "X-Request-ID: two"],
    ],
    ids=["utf-8", "latin-1", "space", "long", "empty", "twice"],
)
def test_an_id_that_could_forge_log_lines_is_replaced(front: Gateway, lines: list[str | bytes]) -> None:
    answer = raw(front, request(*lines))
    assert answer.status == 200
    ids = [value for name, value in answer.json()["headers"] if name == "x-request-id"]
    assert ids == [answer.headers["x-request-id"]]
    assert re.fullmatch(r"[0-9a-f-]{36}", ids[0])


# Headers that clients may not send.


@pytest.mark.parametrize(
    "name",
    [
        "x-request-timeout-seconds",
        "X-Request-Disconnect-Disabled",
        "X-Session-Id",
        "serve_multiplexed_model_id",
        "Serve-Multiplexed-Model-Id",
        "serve-multiplexed_model-id",
        "X-Serve-Router-Target",
        "X-Forwarded-Host",
        "X-Forwarded-Prefix",
        "X-Real-IP",
        "Forwarded",
        "traceparent",
        "tracestate",
        "baggage",
    ],
)
@pytest.mark.parametrize("value", [b"0.001", b"\xff\xfe"], ids=["ascii", "bytes"])
def test_headers_that_steer_servers_do_not_pass(front: Gateway, name: str, value: bytes) -> None:
    answer = raw(front, request(name.encode() + b": " + value))
    assert answer.status == 200
    ours = {"x-request-timeout-seconds": "0", "x-request-disconnect-disabled": "?1"}
    assert dict(answer.json()["headers"]).get(name.lower()) == ours.get(name.lower())


def test_serve_looks_out_for_clients_that_leave_only_where_they_change_something(front: Gateway) -> None:
    kept = raw(front, request("Content-Length: 2", first="POST / HTTP/1.1", body=b"{}"))
    assert not [name for name, _ in kept.json()["headers"] if name.startswith("x-request-d")]


def test_a_trusted_proxy_passes_its_trace_on(tmp_path: Path) -> None:
    with gateway_before(tmp_path, trusted_proxies=("127.0.0.0/8",)) as (front, _):
        answer = httpx.get(f"{front.url}/", headers={"traceparent": "00-1", "X-Forwarded-For": CLIENT})
    assert dict(answer.json()["headers"])["traceparent"] == "00-1"


def test_bytes_beyond_ascii_pass_where_they_are_harmless(front: Gateway) -> None:
    answer = raw(front, request(b"User-Agent: caf\xc3\xa9"))
    assert answer.status == 200


def test_the_client_is_the_connected_address_not_a_claimed_one(front: Gateway) -> None:
    answer = httpx.get(f"{front.url}/", headers={"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https"})
    assert (answer.json()["client"], answer.json()["scheme"]) == (LOOPBACK, "http")


def test_only_a_trusted_proxy_may_name_the_client(tmp_path: Path) -> None:
    with gateway_before(tmp_path, trusted_proxies=("127.0.0.0/8",)) as (front, _):
        answer = httpx.get(
            f"{front.url}/", headers={"X-Forwarded-For": f"{OTHER}, {CLIENT}", "X-Forwarded-Proto": "https"}
        )
        # The last address is from the proxy. The client may have sent the earlier ones.
        assert (answer.json()["client"], answer.json()["scheme"]) == (CLIENT, "https")


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (request(b"N\xc3\xa4me: 1"), 400, "bad_input"),
        (request("Na me: 1"), 400, "bad_input"),
        (request("Name : 1"), 400, "bad_input"),
        (request(b"Name: \x00"), 400, "bad_input"),
        (request(b"Name: \x1b[31m"), 400, "bad_input"),
        (request(first="GET /\xff HTTP/1.1"), 400, "bad_input"),
        (request(first="GET / HTTP/1.2"), 400, "bad_input"),
        (request("Name: " + "a" * 17_000), 431, "headers_too_large"),
        (request(*(f"Name-{number}: 1" for number in range(120))), 431, "headers_too_large"),
        (request("Content-Length: 30000000", first="POST / HTTP/1.1"), 413, "image_too_large"),
        (b"GET / HTTP/1.1\r\nHost: a<b\r\n\r\n", 400, "bad_host"),
        (b"GET / HTTP/1.1\r\nHost: \r\n\r\n", 400, "bad_host"),
        (request(first="OPTIONS * HTTP/1.1"), 400, "bad_input"),
    ],
)
def test_malformed_and_oversized_requests_are_refused(
    front: Gateway, behind: Backend, sent: bytes, status: int, code: str
) -> None:
    is_contract(raw(front, sent), status, code)
    assert not behind.seen


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        request("Content-Length: 5", "Content-Length: 6", first="POST / HTTP/1.1"),
        request("Content-Length: five", first="POST / HTTP/1.1"),
        request("Transfer-Encoding: gzip"),
        request("Transfer-Encoding: gzip, chunked", first="POST / HTTP/1.1"),
        request("Transfer-Encoding: chunked", first="POST / HTTP/1.1", body=b"zz\r\n"),
        request("Name: " + "a" * 100_000),
        request("Host: there"),
        request(b"Name: a\rb"),
        request(*HANDSHAKE[:-1], first="GET /socket HTTP/1.1"),
        b"GET / HTTP/1.1\r\nHost: caf\xe9/x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=[
        *("tls", "lengths", "length", "encoding", "encodings", "chunk", "huge", "hosts", "return", "upgrade"),
        *("host", "http2"),
    ],
)
def test_bytes_that_are_not_http_end_the_connection(front: Gateway, behind: Backend, sent: bytes) -> None:
    answer = raw(front, sent)
    assert answer.status in {0, 400, 422}
    assert not behind.seen


def test_only_configured_hosts_are_answered(tmp_path: Path) -> None:
    hosts = ("app.example", "127.0.0.1")
    with gateway_before(tmp_path, hosts=hosts) as (front, _):
        for host in ("app.example", "APP.example:8443", "127.0.0.1:1"):
            assert httpx.get(f"{front.url}/", headers={"Host": host}).is_success
        for host in ("evil.example", "app.example.evil.example", "xapp.example"):
            is_contract(httpx.get(f"{front.url}/", headers={"Host": host}), 400, "bad_host")


# Slow and idle clients.


def test_half_a_request_and_an_idle_connection_are_ended(front: Gateway, behind: Backend) -> None:
    for sent in (b"", b"GET / HTTP/1.1\r\nHos"):
        with connect(front) as connection:
            connection.sendall(sent)
            started = time.monotonic()
            while connection.recv(1000):
                pass
            assert time.monotonic() - started < 4
    with connect(front) as connection:
        connection.sendall(request())
        assert read_answer(connection).status == 200
        assert connection.recv(1) == b""
    assert len(behind.seen) == 1


@pytest.mark.parametrize("framing", ["Content-Length: 50000", "Transfer-Encoding: chunked"])
def test_a_body_that_does_not_arrive_reaches_no_server(front: Gateway, behind: Backend, framing: str) -> None:
    answer = raw(front, request(framing, first="POST / HTTP/1.1", body=b"5\r\nhello\r\n"))
    is_contract(answer, 408, "timeout")
    assert answer.closed or answer.headers["connection"] == "close"
    assert not behind.seen


def test_a_body_over_a_slow_line_arrives(front: Gateway) -> None:
    """It takes longer than any timeout in total, but is never silent for as long."""
    parts = 8
    with connect(front) as connection:
        connection.sendall(request(f"Content-Length: {parts * 5000}", first="POST / HTTP/1.1"))
        for _ in range(parts):
            connection.sendall(b"x" * 5000)
            time.sleep(QUICK.body / 4)
        assert read_answer(connection).json()["bytes"] == parts * 5000


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_arrives_whole(front: Gateway, chunked: bool) -> None:
    body = b"x" * 10_000_000
    sent: Any = (body[start : start + 1_000_000] for start in range(0, len(body), 1_000_000))
    answer = httpx.post(f"{front.url}/", content=sent if chunked else body, timeout=30)
    assert answer.json()["bytes"] == len(body)


def test_a_connection_is_kept_for_the_next_request(front: Gateway) -> None:
    with connect(front) as connection:
        for number in range(3):
            connection.sendall(request(f"X-Request-ID: number-{number}"))
            assert read_answer(connection).headers["x-request-id"] == f"number-{number}"


# Limits of one address.


def limited(**limits: int) -> GatewayLimits:
    values = {"connections": 1000, "requests": 100_000, "uploads": 1000} | limits
    return GatewayLimits(**values, body_bytes=WIDE.body_bytes, all_connections=WIDE.all_connections)


def ask(front: Gateway, client: str) -> httpx.Response:
    return httpx.get(f"{front.url}/", headers={"X-Forwarded-For": client})


def test_requests_of_one_address_are_limited_without_affecting_others(tmp_path: Path) -> None:
    trusted = (LOOPBACK,)
    with gateway_before(tmp_path, limits=limited(requests=20), trusted_proxies=trusted) as (front, _):
        answers = [ask(front, CLIENT) for _ in range(30)]
        assert [answer.status_code for answer in answers].count(200) == 20
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
    with gateway_before(tmp_path, **options, timeouts=Timeouts()) as (front, _):
        with connect(front) as first, connect(front) as second, connect(front) as third:
            for connection in (first, second):
                connection.sendall(upload + b"x" * 50_000)
            time.sleep(0.1)
            third.sendall(upload)
            is_contract(read_answer(third), 429, "too_many_uploads")
            assert ask(front, CLIENT).is_success
            for connection in (first, second):
                connection.sendall(b"x" * 50_000)
                assert read_answer(connection).json()["bytes"] == 100_000
        # Those are over, so there is room.
        assert raw(front, upload + b"x" * 100_000).status == 200


def wait_for(connection: socket.socket, text: bytes) -> None:
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
            wait_for(connection, b"data: 0")
        is_contract(raw(front, events), 429, "too_many_connections")
        assert ask(front, OTHER).is_success


def test_this_machine_is_not_limited(tmp_path: Path) -> None:
    with gateway_before(tmp_path, limits=limited(requests=1, uploads=1, connections=1)) as (front, _):
        assert all(httpx.post(f"{front.url}/", content=b"x").is_success for _ in range(5))


# Long answers.


def test_events_stream_while_the_client_is_silent(front: Gateway) -> None:
    with httpx.stream("GET", f"{front.url}/events", timeout=5) as answer:
        lines = [(line, time.monotonic()) for line in answer.iter_lines() if line]
    assert [line for line, _ in lines] == [f"data: {number}" for number in range(4)]
    assert lines[-1][1] - lines[0][1] > QUICK.body * 2


def test_a_websocket_goes_through_and_outlives_the_silence_of_others(front: Gateway) -> None:
    with connect_socket(f"ws{front.url.removeprefix('http')}/socket") as connection:
        # A compressed message of the greatest length has a few kilobytes.
        assert not connection.protocol.extensions
        connection.send("one")
        assert connection.recv(timeout=5) == "one"
        time.sleep(QUICK.body * 2)
        connection.send("two")
        assert connection.recv(timeout=5) == "two"


def test_a_client_cannot_flood_a_websocket(front: Gateway) -> None:
    with connect_socket(f"ws{front.url.removeprefix('http')}/socket") as connection:
        connection.send("one")
        assert connection.recv(timeout=5) == "one"
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


def test_an_upgrade_takes_no_request_to_a_server_before_its_body(front: Gateway, behind: Backend) -> None:
    for method in ("GET", "POST"):
        sent = request(*HANDSHAKE, "Content-Length: 3", first=f"{method} /socket HTTP/1.1")
        is_contract(raw(front, sent), 408, "timeout")
    assert not behind.seen


# Servers that come and go.


def applications(*replicas: Backend, prefixes: tuple[str, ...] = ()) -> dict[str, Any]:
    """The parts of the answer of Serve's REST API that are read."""
    proxy = {"ip": LOOPBACK, "port": 1, "name": "SERVE_PROXY_ACTOR-1"}
    targets = [{"ip": LOOPBACK, "port": one.port, "name": f"SERVE_REPLICA::{one.port}"} for one in replicas]
    group = {"protocol": "HTTP", "app_name": "semblance", "route_prefix": "/", "targets": targets or [proxy]}
    others = [group | {"app_name": prefix, "route_prefix": prefix} for prefix in prefixes]
    return {"target_groups": [group, *others], "proxies": {"node": {"actor_name": proxy["name"]}}}


@pytest.fixture
def rest() -> Iterator[Backend]:
    """Serve's REST API, and its proxy."""
    with backend() as running:
        yield running


def server_of(front: Gateway) -> int:
    answer = httpx.get(f"{front.url}/")
    port: int = answer.json()["server"] if answer.is_success else 0
    return port


def test_requests_go_to_the_replicas_or_without_any_to_the_proxy(tmp_path: Path, rest: Backend) -> None:
    serve = Serve(rest.address, None)
    with gateway(tmp_path, rest.address, rest=serve) as front, backend() as one, backend() as two:
        until(lambda: server_of(front) == rest.port)
        rest.applications = applications(one)
        until(lambda: server_of(front) == one.port)
        rest.applications = applications(two)
        front.sync()
        until(lambda: server_of(front) == two.port)
        # Serve's REST API fails: who is known stays.
        rest.applications = None
        front.sync()
        assert {server_of(front) for _ in range(5)} == {two.port}
        rest.applications = applications()
        front.sync()
        until(lambda: server_of(front) == rest.port)


def test_a_replica_that_leaves_or_dies_causes_no_error(tmp_path: Path, rest: Backend) -> None:
    serve = Serve(rest.address, None)
    with gateway(tmp_path, NOWHERE, rest=serve) as front, backend() as one:
        with backend() as two:
            rest.applications = applications(one, two)
            until(lambda: {server_of(front) for _ in range(8)} == {one.port, two.port})
            two.healthy = False
            until(lambda: {server_of(front) for _ in range(8)} == {one.port})
            two.healthy = True
            until(lambda: {server_of(front) for _ in range(8)} == {one.port, two.port})
        # Its death has not been noticed yet.
        answers = [httpx.post(f"{front.url}/", content=b"x") for _ in range(8)]
        assert [answer.json()["server"] for answer in answers] == [one.port] * 8


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD"])
@pytest.mark.parametrize("kept", [False, True], ids=["first", "later"])
def test_who_waits_for_a_replica_that_dies_is_asked_to_retry(tmp_path: Path, method: str, kept: bool) -> None:
    """Also on connections that had requests before, which HAProxy would close without a word."""
    with mortal_backend() as address, gateway(tmp_path, address) as front:
        until(lambda: httpx.get(f"{front.url}/").is_success)
        with httpx.Client(base_url=front.url) as client:
            for before in ("GET", method) if kept else ():
                assert client.request(before, "/").is_success
            answer = client.request(method, "/die", content=b"" if method == "HEAD" else b"x")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        assert method == "HEAD" or answer.json()["code"] == "not_ready"


def test_who_reads_from_the_last_replica_when_it_dies_is_asked_to_retry(tmp_path: Path) -> None:
    with mortal_backend() as address, gateway(tmp_path, address) as front:
        until(lambda: httpx.get(f"{front.url}/").is_success)
        is_contract(httpx.get(f"{front.url}/die"), 503, "not_ready")


def test_other_applications_are_reached_by_their_prefix(tmp_path: Path, rest: Backend) -> None:
    serve = Serve(rest.address, None)
    with gateway(tmp_path, rest.address, rest=serve) as front, backend() as one:
        rest.applications = applications(one, prefixes=("/second",))
        until(lambda: server_of(front) == one.port)
        until(lambda: httpx.get(f"{front.url}/second/x").json()["server"] == rest.port)
        for path, port in (
            ("/second", rest.port),
            ("/second/", rest.port),
            ("/second?x=1", rest.port),
            ("/secondary", one.port),
            ("/second-x/y", one.port),
            ("/sec", one.port),
            ("/x/second/y", one.port),
        ):
            assert httpx.get(f"{front.url}{path}").json()["server"] == port, path
        rest.applications = applications(one)
        front.sync()
        assert httpx.get(f"{front.url}/second/x").json()["server"] == one.port


# The process.


def test_two_gateways_keep_apart(tmp_path: Path, rest: Backend) -> None:
    (tmp_path / "other").mkdir()
    with gateway_before(tmp_path) as (one, behind), gateway(tmp_path / "other", rest.address) as two:
        until(lambda: server_of(two) == rest.port)
        assert server_of(one) == behind.port
        two.stop()
        assert server_of(one) == behind.port


def test_a_dead_gateway_returns_at_the_same_address(tmp_path: Path) -> None:
    with gateway_before(tmp_path) as (front, _):
        url = front.url
        for blow in (signal.SIGKILL, signal.SIGSTOP):
            process = _process_of(front)
            process.send_signal(blow)
            until(lambda: front.problem() is not None)
            front.start()
            assert front.problem() is None
            until(lambda: httpx.get(f"{url}/").is_success)
            assert not process.is_running()


def test_it_listens_where_it_should_and_nowhere_else_and_its_files_are_closed(tmp_path: Path) -> None:
    deep = tmp_path / ("a" * 60) / ("b" * 60)
    deep.mkdir(parents=True)
    with gateway_before(deep) as (front, _):
        listening = [
            connection.laddr
            for connection in _process_of(front).net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert listening == [(LOOPBACK, front.config.port)]
        folder = deep / "gateway"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from tests.support.gateway import gateway\n"
        f"with gateway(Path({str(tmp_path)!r}), ('127.0.0.1', 9)) as front:\n"
        "    print(front._process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        process = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    process.wait(5)


def test_with_a_mark_it_is_taken_over_from_a_parent_that_died(tmp_path: Path) -> None:
    port, mark = free_ports({"gateway": (LOOPBACK, 0)})["gateway"], f"{tmp_path.name}/gateway"
    config = GatewayConfig(LOOPBACK, port, NOWHERE, WIDE)
    first = Gateway(config, tmp_path / "gateway", tmp_path / "log", mark=mark)
    first.start()
    (process,) = members(mark)
    # The state that another supervisor reads.
    second = Gateway(config, tmp_path / "gateway", tmp_path / "log", mark=mark)
    assert second.problem() is not None
    second.start()
    assert second.problem() is None
    assert members(mark) == {process}
    changed = dataclasses.replace(config, hosts=("api.example",))
    third = Gateway(changed, tmp_path / "gateway", tmp_path / "log", mark=mark)
    third.start()
    assert process not in members(mark)
    assert third.problem() is None
    second.stop()
    assert members(mark) == set()
    for parent in (first, third):
        parent.stop()


def test_a_port_that_is_taken_is_named(tmp_path: Path, rest: Backend) -> None:
    config = GatewayConfig(LOOPBACK, rest.port, NOWHERE, WIDE)
    with pytest.raises(ConfigurationError, match=str(tmp_path)):
        Gateway(config, tmp_path / "gateway", tmp_path / "log").start()


def test_stopping_early_or_twice_is_not_an_error(tmp_path: Path) -> None:
    front = Gateway(GatewayConfig(LOOPBACK, 1, NOWHERE, WIDE), tmp_path / "gateway", tmp_path / "log")
    assert front.problem() is not None
    front.stop()
    front.stop()


@pytest.mark.parametrize(("files", "connections"), [(1024, 192), (1_048_576, 4096), (100, 64)])
def test_connections_fit_the_files_a_process_may_open(files: int, connections: int) -> None:
    assert connections_for(files) == connections


def _process_of(front: Gateway) -> psutil.Process:
    assert front._process is not None
    return psutil.Process(front._process.pid)


APP = "https://app.example"


@pytest.mark.parametrize(
    ("origins", "asked", "allowed"),
    [
        (("http://localhost:3000", APP), APP, APP),
        (("*",), APP, "*"),
        ((APP,), "https://app.example.evil", None),
        ((APP,), None, None),
        ((), APP, None),
    ],
)
def test_the_app_can_read_the_gateways_own_answers_and_no_other_sites_can(
    tmp_path: Path, origins: tuple[str, ...], asked: str | None, allowed: str | None
) -> None:
    headers = {} if asked is None else {"Origin": asked}
    with gateway_before(
        tmp_path, origins=origins, limits=limited(requests=20), trusted_proxies=(LOOPBACK,)
    ) as (front, behind):
        headers["X-Forwarded-For"] = CLIENT
        said = httpx.get(f"{front.url}/", headers=headers)
        behind.plain = 503
        own = {
            404: httpx.get(f"{front.url}/-/routes", headers=headers),
            431: httpx.get(f"{front.url}/", headers=headers | {"X-Large": "a" * 20_000}),
            503: httpx.get(f"{front.url}/", headers=headers),
        }
        own[429] = [httpx.get(f"{front.url}/", headers=headers) for _ in range(25)][-1]
    assert {status: answer.status_code for status, answer in own.items()} == {code: code for code in own}
    for answer in own.values():
        assert answer.headers.get("access-control-allow-origin") == allowed
        exposed = answer.headers.get("access-control-expose-headers")
        assert exposed == (None if allowed is None else "X-Request-ID, Retry-After")
    # The API sets its own CORS headers.
    assert said.status_code == 200
    assert "access-control-allow-origin" not in said.headers


def test_other_applications_set_their_own_cors_headers(tmp_path: Path, rest: Backend) -> None:
    serve = Serve(rest.address, None)
    with gateway(tmp_path, rest.address, rest=serve, origins=("*",)) as front, backend() as one:
        rest.applications = applications(one, prefixes=("/second",))
        until(lambda: server_of(front) == one.port)
        until(lambda: httpx.get(f"{front.url}/second").json()["server"] == rest.port)
        answer = httpx.get(f"{front.url}/second", headers={"Origin": APP})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
