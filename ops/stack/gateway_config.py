"""The configuration of HAProxy as the gateway: the one process that clients talk to.

It stands in front of everything else in a stack and outlives its restarts. Behind it are the replicas of the
API, each with its own HTTP port, and Serve's Python proxy, which gets the requests while no replica is known,
and those for other applications on the same Serve.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from semblance.errors import ConfigurationError
from semblance.logging import SAFE_REQUEST_ID
from semblance.protocol import API_MARK, BODY_OVERHEAD, HEAD_ROOM
from semblance.settings import Settings
from semblance.sizes import byte_size

Address = tuple[str, int]

ALIVE_PATH = "/-/gateway"
"""The path that the gateway answers by itself."""

SLOTS = 32
"""Most replicas of the API at once, including those that start or end during an update."""

CONFIG, SOCKET, INNER, PREFIXES = "haproxy.cfg", "admin.sock", "inner.sock", "prefixes.map"
"""Names of files in the folder of the gateway."""

_HEAD_BYTES, _HEADERS = 16 * 1024, 100
"""Most bytes in all headers of a request, and most headers."""

_NO_ADDRESS = "[^!-~]"
_NO_NAME = r"[^!#$%&'*+.^_`|~0-9A-Za-z:-]"
"""Matches what no header name contains; names are joined by colons (RFC 9110, section 5.6.2)."""
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
_HOST = r"^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$"

_CLIENT = "ipmask(32,64)"
"""The part of an address that identifies a client. For IPv6 it is the network that a provider assigns."""

_AUTHOR = "x-answered-by"
"""Says the outer stream of a request whether the API or another application answered, or, if it is missing,
the gateway itself."""

_TRACED = ("traceparent", "tracestate", "baggage")
"""By these a client would choose what is traced."""

_STRIPPED = (
    # Clients could steer Ray Serve by these: ray/serve/_private/http_util.py.
    "x-request-timeout-seconds",
    "x-request-disconnect-disabled",
    "^x[-_]session[-_]id$ -m reg",
    "^serve[-_]multiplexed[-_]model[-_]id$ -m reg",
    "x-serve- -m beg",
    # Only a proxy may say these about its client.
    "x-forwarded- -m beg",
    "x-real-ip",
    "forwarded",
    # HAProxy would wait for the end of the body of such a request, and the server for it.
    "upgrade unless websocket METH_GET !body",
    # Compressed, a thousandth of the longest message would do, and each connection would take .3 MB more.
    "sec-websocket-extensions",
)

_SOCKET_BYTES, _SOCKET_S = 16 * 1024, 16
"""What the client of a WebSocket may send in so many seconds. An access token has up to some kilobytes, other
messages have some bytes. A ping of six bytes takes 50 µs of a core."""

_INVALID = "This is not a valid HTTP request."
_RETRY_S = 2
_LATER_S = 5


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Timeouts in seconds.

    Attributes:
        head: for all headers of a request to arrive.
        body: of silence within a request's body, and for its first 16 kB (or the whole of a smaller one).
        idle: between two requests on a connection.
        answer: of silence of a server. Realtime connections send something every 25 s.
        tunnel: between two messages of a WebSocket.
        connect: to a server.
    """

    head: float = 10
    body: float = 30
    idle: float = 75
    answer: float = 300
    tunnel: float = 3600
    connect: float = 2


@dataclass(frozen=True, slots=True)
class GatewayLimits:
    """Limits for one client address, and for all.

    Attributes:
        connections: of one client with a request in progress.
        requests: of one client in ten seconds.
        uploads: of one client in progress.
        body_bytes: of one request.
        all_connections: of all clients together. Each takes up to 128 kB.
    """

    connections: int
    requests: int
    uploads: int
    body_bytes: int
    all_connections: int


@dataclass(frozen=True, slots=True)
class TlsListener:
    """Where the gateway speaks HTTPS. certificate: absolute path of a PEM file with the chain and the key."""

    host: str
    port: int
    certificate: Path


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Where the gateway listens, and what it lets through.

    Attributes:
        serve: address of Serve's Python proxy.
        trusted_proxies: networks whose X-Forwarded-For is trusted.
        hosts: names by which clients may call the service. Empty: any.
        origins: of browser apps that may read the answers the gateway gives by itself; * for all.
        tls: where it also speaks HTTPS.
    """

    host: str
    port: int
    serve: Address
    limits: GatewayLimits
    trusted_proxies: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    timeouts: Timeouts = field(default_factory=Timeouts)
    tls: TlsListener | None = None

    @classmethod
    def of(cls, settings: Settings, host: str, port: int, serve: Address, all_connections: int) -> Self:
        return cls(
            host=host,
            port=port,
            serve=serve,
            limits=GatewayLimits(
                connections=settings.client_connections,
                requests=settings.client_requests_per_second * 10,
                uploads=settings.client_uploads,
                body_bytes=int(settings.max_image_bytes * BODY_OVERHEAD),
                all_connections=all_connections,
            ),
            trusted_proxies=settings.trusted_proxies,
            hosts=settings.allowed_hosts,
            origins=settings.cors_origins,
            tls=None
            if settings.tls_certificate is None
            else TlsListener(
                settings.tls_host, settings.tls_port, settings.tls_certificate.expanduser().absolute()
            ),
        )

    def text(self) -> str:
        """The configuration file. Relative names in it refer to the folder of the gateway.

        Raises ConfigurationError for an invalid host.
        """
        limits, timeouts = self.limits, self.timeouts
        unlimited = " ".join(("127.0.0.0/8", "::1", *self.trusted_proxies))
        health = "fastinter 250ms downinter 500ms fall 3 rise 1"
        return f"""\
global
    # Those of clients, and as many between the two streams of a request.
    maxconn {2 * limits.all_connections}
    nbthread 1
    # Larger than the limits below, so that a refusal gets an answer in the shape of the contract.
    tune.bufsize {HEAD_ROOM}
    tune.http.maxhdr {4 * _HEADERS}
    stats socket unix@./{SOCKET} mode 600 level admin
    ssl-default-bind-options ssl-min-ver TLSv1.2
    ssl-default-bind-ciphers ECDHE+AESGCM:ECDHE+CHACHA20
    # WebSockets come over HTTP/1.1, on a connection of their own.
    h2-workaround-bogus-websocket-clients
    log stdout format raw daemon notice

defaults
    mode http
    timeout connect {_ms(timeouts.connect)}
    timeout http-request {_ms(timeouts.head)}
    timeout http-keep-alive {_ms(timeouts.idle)}
    timeout client {_ms(timeouts.body)}
    timeout client-fin {_ms(timeouts.body)}
    timeout server {_ms(timeouts.answer)}
    timeout tunnel {_ms(timeouts.tunnel)}
    timeout check 5s
    option abortonclose
    option http-no-delay
    # A request that reached no server goes to another one. One that may have is repeated only if that is
    # safe.
    option redispatch 1
    retry-on conn-failure empty-response
    unique-id-format %[uuid]
{_lines(_errors())}

frontend public
    maxconn {limits.all_connections}
{_lines(self._binds())}
    # Stick tables count by address. This machine and trusted proxies are not single clients. Idle connections
    # can only be rejected without an answer, so more of them are allowed.
    tcp-request connection track-sc2 src,{_CLIENT} table sockets unless {{ src {unlimited} }}
    tcp-request connection reject if {{ sc2_conn_cur(sockets) gt {2 * limits.connections} }}

    # Accepted only to be refused below, since HAProxy's own refusal would be a page of HTML.
    option accept-invalid-http-request
    acl websocket hdr(upgrade) -i websocket
    acl body req.body_size gt 0
    acl body hdr(transfer-encoding) -m found
{_lines(self._client())}
{_lines(self._cors())}

    # The id that the client sent, if it cannot forge a log line.
    http-request set-var(txn.id) unique-id
    http-request set-var(txn.id) req.fhdr(x-request-id) if {{ req.fhdr_cnt(x-request-id) eq 1 }} \
{{ req.fhdr(x-request-id) -m reg {_quoted(f"^{SAFE_REQUEST_ID.pattern}$")} }}
    http-request set-header X-Request-ID %[var(txn.id)]
    http-after-response set-header X-Request-ID %[var(txn.id)] unless {{ res.hdr(x-request-id) -m found }}
    http-request return status 200 content-type application/json string '{{"status":"up"}}' \
if {{ path {ALIVE_PATH} }}
    # Ray Serve's own paths. It decodes a path before it reads it.
    http-request return {_answer(404, "not_found", "Not Found")} if {{ path,url_dec -m beg /-/ }}

{_lines(self._refusals())}
    # The address may be that of a proxy's request (RFC 9112, section 3.2.2). Servers expect no host in it.
    http-request set-uri %[pathq] unless {{ url -m beg / }}

    acl unlimited src {unlimited}
    http-request track-sc0 src,{_CLIENT} table connections unless unlimited
{_limit("requests", "sc0_http_req_rate(connections)", limits.requests)}
{_limit("connections", "sc0_conn_cur(connections)", limits.connections)}
    # In HTTP/2 no header has to announce a body: its first byte does, or the end of the request without one.
    http-request wait-for-body time {_ms(timeouts.body)} at-least 1 if {{ req.ver 2.0 }} !body
    http-request track-sc1 src,{_CLIENT} table uploads if body !unlimited
{_limit("uploads", "sc1_conn_cur(uploads)", limits.uploads)}

{_lines(f"http-request del-header {header}" for header in _STRIPPED)}
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto %[var(txn.proto)]
    # No server gets a request before the first part of its body has arrived, or the whole of a small one.
    http-request wait-for-body time {_ms(timeouts.body)} at-least 16k if body
    use_backend once unless METH_GET !websocket
{_lines(_ROUTES)}

# When a server dies, HAProxy repeats a read. With anything else it closes the client's connection without a
# word, unless neither that one nor the server's had a request before. So each of these requests has a
# connection of its own to the frontend that follows, which has an answer. WebSockets are slowed down there.
backend once
    option http-server-close
    retries 0
    server inner unix@./{INNER}
    http-response set-var(txn.ours) bool(true) if {{ res.hdr({_AUTHOR}) api }}
    http-response set-var(txn.theirs) bool(true) if {{ res.hdr({_AUTHOR}) other }}
    http-response del-header {_AUTHOR}
{_lines(_AS_503)}

frontend inner
    bind unix@./{INNER} mode 600
    option accept-invalid-http-request
    # The API counts messages, but pings and empty fragments never become one. Behind this filter the silence
    # of a WebSocket is that of a client and a server; the clients here are the gateway's own.
    filter bwlim-in messages default-limit {_SOCKET_BYTES} default-period {_ms(_SOCKET_S)}
    timeout client {_ms(timeouts.tunnel)}
    acl websocket hdr(upgrade) -i websocket
    http-request set-bandwidth-limit messages if websocket
    http-request set-var(txn.id) req.fhdr(x-request-id)
    http-request disable-l7-retry
    http-after-response set-header {_AUTHOR} api if {{ var(txn.ours) -m bool }}
    http-after-response set-header {_AUTHOR} other if {{ var(txn.theirs) -m bool }}
{_lines(_ROUTES)}

# Counters only; no requests go there.
backend sockets
    stick-table type ipv6 size 100k expire 1m store conn_cur
backend connections
    stick-table type ipv6 size 100k expire 1m store conn_cur,http_req_rate(10s)
backend uploads
    stick-table type ipv6 size 100k expire 10m store conn_cur

backend api
    log global
    balance leastconn
    http-reuse safe
    # The first check says whether a replica or proxy is about to leave, the second whether the API answers.
    option httpchk
    http-check connect
    http-check send meth GET uri /-/healthz ver HTTP/1.1 hdr Host gateway
    http-check expect status 200
    http-check connect
    http-check send meth GET uri /health ver HTTP/1.1 hdr Host gateway
    http-check expect hdr name {API_MARK}
    default-server {health} inter 2s observe layer4 error-limit 2 on-error fastinter
    http-request set-timeout server {_ms(timeouts.tunnel)} if {{ hdr(upgrade) -m found }}
    # The API limits the time of a read itself, and a read may go on when its client has left. Serve would
    # have two more tasks for each request, to watch both.
    http-request set-header X-Request-Timeout-Seconds 0 if METH_GET !{{ hdr(upgrade) -m found }}
    http-request set-header X-Request-Disconnect-Disabled ?1 if METH_GET !{{ hdr(upgrade) -m found }}
    server-template replica 1-{SLOTS} 127.0.0.1:1 check disabled
    # Asked seldom: each of its answers goes through Ray and a replica, and takes 9 ms of CPU.
    server serve {_server(self.serve)} check inter 10s backup

    http-response set-var(txn.ours) bool(true) if {{ res.hdr({API_MARK}) -m found }}
    http-response del-header {API_MARK}
    acl ours var(txn.ours) -m bool
    # Answers without the mark come from Ray Serve, or from the HTTP server below the API.
    http-response return {_answer(400, "bad_input", _INVALID)} if !ours {{ status 400 }}
    # That server refuses a WebSocket without a route in this way.
    http-response return {_answer(404, "not_found", "Not Found")} if !ours {{ status 403 }}
    http-response return {_not_ready(503)} if !ours {{ status 400:599 }}
{_lines(_AS_503)}

# Other applications, by their route prefixes.
backend serve
    log global
    option httpchk GET /-/healthz
    default-server {health} inter 10s
    http-request set-timeout server {_ms(timeouts.tunnel)} if {{ hdr(upgrade) -m found }}
    server serve {_server(self.serve)} check
    http-response set-var(txn.theirs) bool(true)
{_lines(_AS_503)}
"""

    def _binds(self) -> Iterator[str]:
        yield f"bind {_host(self.host)}:{self.port}"
        if self.tls is not None:
            file = _quoted(str(self.tls.certificate))
            yield f"bind {_host(self.tls.host)}:{self.tls.port} ssl crt {file} alpn h2,http/1.1"

    def _client(self) -> Iterator[str]:
        """Take the client from the headers of a trusted proxy."""
        yield "http-request set-var(txn.proto) str(http)"
        yield "http-request set-var(txn.proto) str(https) if { ssl_fc }"
        if self.trusted_proxies:
            yield f"acl proxied src {' '.join(self.trusted_proxies)}"
            # The last one is that of the nearest proxy; a client may have sent the earlier ones.
            secure = "{ hdr(x-forwarded-proto,-1) -i https }"
            yield f"http-request set-var(txn.proto) str(https) if proxied {secure}"
        for header in _TRACED:
            yield f"http-request del-header {header}{' unless proxied' if self.trusted_proxies else ''}"
        if self.trusted_proxies:
            said = "{ hdr(x-forwarded-for) -m found }"
            yield f"http-request set-src hdr_ip(x-forwarded-for,-1) if proxied {said}"
            # That takes an IPv4 address with a port, as some proxies write them, but no IPv6 one.
            ported = "{ hdr(x-forwarded-for,-1) -m beg [ }"
            yield f"http-request set-src hdr(x-forwarded-for,-1),word(1,[]) if proxied {ported}"

    def _cors(self) -> Iterator[str]:
        """Let browser apps read the answers that the gateway gives by itself. Without these headers they only
        learn that a request failed."""
        if not self.origins:
            return
        allowed = "*" if "*" in self.origins else "%[var(txn.origin)]"
        known = "" if "*" in self.origins else f" {{ req.fhdr(origin) -m str {' '.join(self.origins)} }}"
        yield f"http-request set-var(txn.origin) req.fhdr(origin) if {{ req.fhdr(origin) -m found }}{known}"
        own = "if { var(txn.origin) -m found } !{ var(txn.ours) -m bool } !{ var(txn.theirs) -m bool }"
        for header, value in (
            ("Access-Control-Allow-Origin", allowed),
            ("Access-Control-Expose-Headers", "X-Request-ID,\\ Retry-After"),
            ("Vary", "Origin"),
        ):
            yield f"http-after-response set-header {header} {value} {own}"

    def _refusals(self) -> Iterator[str]:
        size = self.limits.body_bytes
        host = "The Host header is not one of this service."
        refusals = [
            (
                400, "bad_input", "The HTTP version is not 1.0 or 1.1.",
                "unless { req.ver 1.0 1.1 } || { req.ver 2.0 } { ssl_fc }",
            ),
            (
                400, "bad_input", "The address contains bytes that must be percent-encoded.",
                f"if {{ url -m reg {_quoted(_NO_ADDRESS)} }}",
            ),
            (400, "bad_input", "The address does not begin with a slash.", "if { url -m str * }"),
            (
                400, "bad_input", "The name of a header is not valid.",
                f"if {{ req.hdr_names(:) -m reg {_quoted(_NO_NAME)} }}",
            ),
            (
                400, "bad_input", "A header contains control characters.",
                f"if {{ req.hdrs -m reg {_quoted(_CONTROL)} }}",
            ),
            (
                431, "headers_too_large", f"The headers are larger than {byte_size(_HEAD_BYTES)}.",
                f"if {{ req.hdrs,length gt {_HEAD_BYTES} }}",
            ),
            (
                431, "headers_too_large", f"There are more than {_HEADERS} headers.",
                f"if {{ req.hdr_names(:),field({_HEADERS + 1},:) -m found }}",
            ),
            (
                400, "bad_host", host,
                f"if {{ req.fhdr(host) -m found }} !{{ req.fhdr(host) -m reg {_quoted(_HOST)} }}",
            ),
            (
                413, "image_too_large", f"The request is larger than {byte_size(size)}.",
                f"if {{ req.body_size gt {size} }}",
            ),
        ]  # fmt: skip
        if self.hosts:
            named = f"{{ hdr(host),host_only -i {' '.join(self.hosts)} }}"
            refusals.append((400, "bad_host", host, f"unless {named}"))
        for status, code, sentence, condition in refusals:
            yield f"http-request return {_answer(status, code, sentence)} {condition}"


_ROUTES = (
    # Compare whole segments: the map has a trailing slash, and so does the path here.
    f"use_backend serve if {{ path,concat(/),map_beg({PREFIXES}) -m found }}",
    "default_backend api",
)

_AS_503 = (
    # A server that went away or stays silent is not ready. A 502 from the API means something else.
    'http-after-response set-status 503 reason "Service Unavailable" '
    "if { status 502 504 } !{ var(txn.ours) -m bool }",
)


def _errors() -> Iterator[str]:
    """HAProxy's own answers. It answers bytes that are not a request before these apply."""
    for status, code, sentence in (
        (400, "bad_input", _INVALID),
        (408, "timeout", "The request did not arrive in time."),
        (500, "internal_error", "Something went wrong on our side."),
    ):
        yield f"http-error {_answer(status, code, sentence)}"
    for status in (502, 503, 504):
        yield f"http-error {_not_ready(status)}"


def _not_ready(status: int) -> str:
    return _answer(
        status, "not_ready", "The service, or a part of it, is starting; try again soon.", _RETRY_S
    )


def _answer(status: int, code: str, sentence: str, retry_after: int | None = None) -> str:
    """Arguments of a rule that answers in the shape of the contract."""
    body = json.dumps({"error": sentence, "code": code, "request_id": "%[var(txn.id)]"})
    retry = "" if retry_after is None else f" hdr Retry-After {retry_after}"
    headers = f"hdr Cache-Control no-store hdr X-Content-Type-Options nosniff{retry}"
    return f"status {status} content-type application/json lf-string '{body}' {headers}"


def _limit(what: str, counted: str, most: int) -> str:
    """A rule that refuses what a client has too many of."""
    sentence = f"Too many {what} come from your address; try again soon."
    answer = _answer(429, f"too_many_{what}", sentence, _LATER_S)
    return f"    http-request return {answer} if {{ {counted} gt {most} }}"


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)


def _quoted(text: str) -> str:
    """The text as one word of the configuration."""
    return '"' + re.sub(r'([\\"$])', r"\\\1", text) + '"'


def _ms(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def _host(host: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:_-]+", host):
        raise ConfigurationError(f"{host!r} is not an address.")
    return f"[{host}]" if ":" in host else host


def _server(address: Address) -> str:
    return f"{_host(address[0])}:{address[1]}"
