"""Headers, queries and signed things as no honest client sends them: refused with a status, never a 500."""

from __future__ import annotations

import base64
import json
import math
import time
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_from_bytes

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from semblance.errors import BadInputError, UnauthorizedError
from semblance.settings import Settings
from serve_app.api.cursors import encode_cursor, place_by_name, place_by_score, place_by_time
from serve_app.auth import TokenVerifier
from tests.support.api import API_KEY, CRON_SECRET, JWT_SECRET, Api
from tests.support.direct import status_of

HEADERS = (
    b"accept", b"accept-encoding", b"accept-language", b"access-control-request-headers",
    b"access-control-request-method", b"authorization", b"connection", b"content-disposition",
    b"content-encoding", b"content-length", b"content-type", b"cookie", b"expect", b"forwarded", b"host",
    b"idempotency-key", b"if-match", b"if-modified-since", b"if-none-match", b"if-range", b"last-event-id",
    b"origin", b"range", b"referer", b"sec-websocket-protocol", b"serve_multiplexed_model_id", b"te",
    b"traceparent", b"upgrade", b"user-agent", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto",
    b"x-http-method-override", b"x-request-id", b"x-request-timeout-seconds", b"x-session-id", b"\xff-name",
)  # fmt: skip

DECISIVE = {
    b"authorization", b"content-encoding", b"content-length", b"content-type", b"expect", b"host", b"origin",
    b"range",
}  # fmt: skip
"""Headers that decide what becomes of a request, so that others may not be read."""

BYTES = (b"\xff", b"a\xe9b", b"\xb2", b"\xed\xa0\x80", b"", b"\t", b"\x01", b"9" * 400)
"""Values of headers that servers let pass: all but CR, LF and NUL."""

ROUTES = (
    ("GET", "/health"),
    ("GET", "/api/matches/top"),
    ("POST", "/api/baby"),
    ("POST", "/api/faces"),
    ("POST", "/extract-embedding"),
    ("GET", "/api/realtime/events"),
    ("GET", "/objects/a.jpg"),
)
"""One of each way in which headers are read."""

VALUES = (
    b"-1", b"1e400", b"nan", b"9223372036854775808", b"-9223372036854775809", b"9" * 5000, b"\xd9\xa3",
    b"a\0b", b"\xff", b"\xed\xa0\x80", b"", b"'", b"../..",
)  # fmt: skip
"""Values of queries and paths, percent-encoded on their way."""

PLACES = (
    "0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59.999999+00:00", "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59", "1e308", "-1e308", "1e-320", "nan", "1e400", "-0.0", "\0", "é",
)  # fmt: skip
"""Of well-formed cursors, at the ends of what fits and beyond."""

ABSURD = (
    "1e400", "-1e400", "NaN", "9" * 30, "9" * 400, "-1", "-" + "9" * 400, "1e308", '""', '"soon"', '"1e400"',
    "null", "true", "[]", "[1]", "{}", '{"a": 1}',
)  # fmt: skip
"""JSON texts in place of a time."""

REFUSALS = {400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429}
FINE = {200, 201, 202, 204, 307} | REFUSALS


def usual_headers(path: str, user: dict[str, str]) -> dict[bytes, bytes]:
    """With the credentials that the path asks for."""
    bearer = f"Bearer {CRON_SECRET if path.startswith('/api/cron') else API_KEY}"
    value = user["Authorization"] if path.startswith("/api/") and "/cron" not in path else bearer
    return {b"host": b"api", b"authorization": value.encode()}


async def test_no_header_breaks_a_route(api: Api) -> None:
    """Harmless ones are sent together. If the answer is another one than without them, some may not have been
    read, so halves are sent until it is the same or one is left."""
    user = await api.member("ada")
    others = [name for name in HEADERS if name not in DECISIVE]
    # Neighbours may decide about each other, such as If-None-Match and If-Modified-Since.
    groups = [[name] for name in DECISIVE] + [others[start::4] for start in range(4)]
    for method, path in ROUTES:
        usual = usual_headers(path, user.headers)
        expected = await status_of(api, method, path, headers=usual)
        for value in BYTES:
            left = list(groups)
            while left:
                names = left.pop()
                headers = {**usual, **dict.fromkeys(names, value)}
                status = await status_of(api, method, path, headers=headers)
                assert status in FINE, (method, path, names, value)
                if status != expected and len(names) > 1:
                    left += [names[::2], names[1::2]]


class Refused:
    """What validation has refused. The same is refused wherever it is declared in the same way."""

    def __init__(self) -> None:
        self._known: set[tuple[str, str, bytes | str]] = set()

    def knows(self, name: str, declared: object, value: bytes | str) -> bool:
        return (name, json.dumps(declared), value) in self._known

    def note(self, name: str, declared: object, value: bytes | str, status: int) -> None:
        if status == 422:
            self._known.add((name, json.dumps(declared), value))


async def test_no_query_or_path_breaks_a_route(api: Api) -> None:
    user = await api.member("ada", role="admin")
    refused = Refused()
    cursors = [
        base64.urlsafe_b64encode(f"{place}|{uuid.UUID(int=0)}".encode()).rstrip(b"=") for place in PLACES
    ]
    for path, methods in api.app.openapi()["paths"].items():
        for method, operation in methods.items():
            parameters = operation.get("parameters", [])
            for changed in parameters:
                name = changed["name"]
                for value in [*VALUES, *(cursors if name in {"cursor", "before"} else [])]:
                    if refused.knows(name, changed, value):
                        continue
                    inputs = {item["name"]: _fitting(item) for item in parameters if item.get("required")}
                    inputs[name] = value.decode(errors="replace")
                    called = path.format_map(inputs)
                    inputs[name] = quote_from_bytes(value)
                    query = "&".join(f"{key}={text}" for key, text in inputs.items())
                    headers = usual_headers(path, user.headers)
                    status = await status_of(api, method.upper(), called, query=query, headers=headers)
                    assert status in FINE, (method, called, query)
                    refused.note(name, changed, value, status)


JSON_TEXTS = (
    *ABSURD, "9223372036854775808", "-9223372036854775809", '"\\u0000"', '"\\ud800"',
    '"9999-12-31T23:59:59-23:59"', '"0001-01-01T00:00:00+23:59"', "[" * 5000, '{"a":' * 5000,
)  # fmt: skip


async def test_no_value_in_a_body_breaks_a_route(api: Api) -> None:
    user = await api.member("ada", role="admin")
    document = api.app.openapi()
    refused = Refused()
    tried = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema", {})
            schema = document["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], schema)
            called = path.format_map(
                {item["name"]: _fitting(item) for item in operation.get("parameters", [])}
            )
            for name, declared in schema.get("properties", {}).items():
                for text in JSON_TEXTS:
                    tried += 1
                    if refused.knows(name, declared, text):
                        continue
                    others = {
                        other: str(uuid.UUID(int=1)) for other in schema.get("required", []) if other != name
                    }
                    rest = "".join(
                        f", {json.dumps(other)}: {json.dumps(value)}" for other, value in others.items()
                    )
                    body = f"{{{json.dumps(name)}: {text}{rest}}}".encode()
                    headers = {**usual_headers(path, user.headers), b"content-type": b"application/json"}
                    status = await status_of(api, method.upper(), called, headers=headers, body=body)
                    assert status in FINE, (method, called, body[:200])
                    refused.note(name, declared, text, status)
    assert tried > 300


def _fitting(parameter: dict[str, Any]) -> str:
    return "1" if parameter["schema"].get("type") == "integer" else str(uuid.UUID(int=1))


def signed(**claims: str) -> str:
    """A token with a genuine signature, its claims given as JSON texts."""
    content = {
        "sub": json.dumps(str(uuid.uuid4())),
        "email": '"ada@mit.edu"',
        "aud": '"authenticated"',
        "exp": str(int(time.time()) + 60),
        **claims,
    }
    text = "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in content.items()) + "}"
    return jwt.api_jws.encode(text.encode(), JWT_SECRET, algorithm="HS256")


async def test_absurd_claims_of_a_genuine_token_are_401_or_harmless() -> None:
    verifier = TokenVerifier(Settings(jwt_secret=SecretStr(JWT_SECRET)))
    for claim in ("exp", "nbf", "iat", "aud", "iss", "sub", "email", "user_metadata", "jti", "crit"):
        for value in ABSURD:
            token = signed(**{claim: value})
            try:
                claims = await verifier.verify(token)
            except UnauthorizedError:
                continue
            assert claim != "exp", value
            assert math.isfinite(claims.session.ends_at + claims.session.outlived_at())


async def test_a_token_that_never_ends_opens_no_stream(api: Api) -> None:
    for value in ABSURD:
        query = f"access_token={signed(exp=value)}"
        assert (
            await status_of(api, "GET", "/api/realtime/events", query=query, headers={b"host": b"api"}) == 401
        )


@settings(max_examples=200, deadline=None, database=None)
@given(
    text=st.text(max_size=60),
    place=st.one_of(st.text(max_size=40), st.floats().map(str), st.datetimes().map(str)),
)
def test_a_cursor_is_decoded_or_refused(text: str, place: str) -> None:
    made = base64.urlsafe_b64encode(f"{place}|{uuid.UUID(int=0)}".encode(errors="replace")).decode()
    for cursor in (text, made, made.rstrip("=")):
        for decode in (place_by_time, place_by_score, place_by_name):
            try:
                decoded = decode(cursor)
            except BadInputError:
                continue
            assert decode(encode_cursor(decoded)) == decoded


HOSTS = {
    200: ("api", "localhost:8000", "127.0.0.1", "[::1]:80", "my_box.lan", "UPPER.example."),
    400: ("", "a b", "a/b", "a@b", "user:pass@a", "a:", "a:b", "a:123456", "[::1", "::1", "a?b",
          "a#b", "a\\b", "a,b", "<a>", "é"),
}  # fmt: skip


@pytest.mark.parametrize("status", HOSTS)
async def test_a_host_is_a_name_or_an_address(api: Api, status: int) -> None:
    for host in HOSTS[status]:
        headers = {b"host": host.encode()}
        assert await status_of(api, "GET", "/health", headers=headers) == status, host


def all_answers() -> Iterator[tuple[str, str]]:
    yield from (("GET", path) for path in ("/health", "/ready", "/openapi.json", "/docs", "/nothing-here"))
    yield from (
        ("GET", path) for path in ("/api/matches/top", "/api/auth/me", "/objects/x?expires=1&signature=x")
    )
    yield from (("POST", "/lookalikes"), ("DELETE", "/health"))


async def test_nobody_stores_answers_or_guesses_their_type(api: Api) -> None:
    """The links in them are made with the Host of the request."""
    user = await api.member("ada")
    for method, path in all_answers():
        answer = await api.client.request(method, path, headers={**user.headers, "Host": "poison.example"})
        assert answer.headers["cache-control"] == "no-store", path
        assert answer.headers["x-content-type-options"] == "nosniff", path


async def test_the_answer_to_an_unexpected_error_is_not_stored_either(api: Api) -> None:
    @api.app.get("/broken")
    async def broken() -> None:
        raise RuntimeError

    answer = await api.client.get("/broken")
    assert (answer.status_code, answer.headers["cache-control"]) == (500, "no-store")


@pytest.mark.parametrize("path", ["/health", "/api/config", "/api/matches/top", "/compare-faces", "/nowhere"])
async def test_cookies_are_never_decoded(api: Api, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Python's decoder of quoted values takes seconds for a header of backslashes (CVE-2024-7592)."""

    def parsed(text: str) -> dict[str, str]:
        raise AssertionError(text[:20])

    monkeypatch.setattr("starlette.requests.cookie_parser", parsed)
    headers = {"Cookie": 'a="' + "\\\\" * 5000 + '"'}
    assert (await api.client.get(path, headers=headers)).status_code in {200, 401, 404, 405}
