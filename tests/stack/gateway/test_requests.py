"""What the gateway lets through, changes, refuses and answers itself."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from ops.stack.gateway import Gateway
from ops.stack.gateway_config import ALIVE_PATH
from semblance.logging import SAFE_REQUEST_ID
from tests.support.gateway import (
    CLIENT,
    HANDSHAKE,
    LOOPBACK,
    OTHER,
    Backend,
    connect,
    gateway_before,
    is_contract,
    raw,
    request,
)


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


@pytest.mark.parametrize(
    "name",
    [
        "x-request-timeout-seconds",
        "X-Request-Disconnect-Disabled",
        "X-Session-Id",
        "x_session-id",
        "X_SESSION_ID",
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


def test_a_trusted_proxy_may_name_the_clients_port_too(tmp_path: Path) -> None:
    """Otherwise the client would be the proxy, which is not limited."""
    with gateway_before(tmp_path, trusted_proxies=("127.0.0.0/8",)) as (front, _):
        for named, client in (
            (f"{CLIENT}:50123", CLIENT),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:50123", "2001:db8::1"),
            ("[2001:db8::2]:50123, [2001:db8::1]:50123", "2001:db8::1"),
        ):
            said = httpx.get(f"{front.url}/", headers={"X-Forwarded-For": named}).json()
            assert said["client"] == client, named


@pytest.mark.parametrize(
    ("said", "scheme"),
    [
        (["https"], "https"),
        (["HTTPS"], "https"),
        (["http, https"], "https"),
        (["http", "https"], "https"),
        (["https, http"], "http"),
        (["https", "http"], "http"),
        (["https,"], "http"),
    ],
)
def test_the_scheme_is_the_one_that_the_nearest_proxy_names(
    tmp_path: Path, said: list[str], scheme: str
) -> None:
    with gateway_before(tmp_path, trusted_proxies=("127.0.0.0/8",)) as (front, _):
        answer = httpx.get(f"{front.url}/", headers=[("X-Forwarded-Proto", one) for one in said])
        assert answer.json()["scheme"] == scheme


@pytest.mark.parametrize(
    ("address", "path", "query"),
    [("http://here/a?b=c", "/a", "b=c"), ("http://here", "/", ""), ("ws://here/socket", "/socket", "")],
)
def test_an_address_may_have_the_form_for_proxies(
    front: Gateway, address: str, path: str, query: str
) -> None:
    said = raw(front, request(first=f"GET {address} HTTP/1.1")).json()
    assert (said["path"], said["query"]) == (path, query)


def test_a_websocket_may_be_asked_for_as_from_a_proxy(front: Gateway) -> None:
    with connect(front) as connection:
        connection.sendall(request(*HANDSHAKE, first="GET http://here/socket HTTP/1.1"))
        assert connection.recv(1000).startswith(b"HTTP/1.1 101 ")


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
def test_bytes_that_are_not_http_end_the_connection(hasty: tuple[Gateway, Backend], sent: bytes) -> None:
    front, behind = hasty
    behind.seen.clear()
    answer = raw(front, sent)
    # 408: they came late.
    assert answer.status in {0, 400, 408, 422}
    assert answer.closed or answer.status
    assert not behind.seen


def test_only_configured_hosts_are_answered(tmp_path: Path) -> None:
    hosts = ("app.example", "127.0.0.1")
    with gateway_before(tmp_path, hosts=hosts) as (front, _):
        for host in ("app.example", "APP.example:8443", "127.0.0.1:1"):
            assert httpx.get(f"{front.url}/", headers={"Host": host}).is_success
        for host in ("evil.example", "app.example.evil.example", "xapp.example"):
            is_contract(httpx.get(f"{front.url}/", headers={"Host": host}), 400, "bad_host")
