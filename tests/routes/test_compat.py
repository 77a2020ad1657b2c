"""What the setting for old clients adds: fields, statuses, the session cookie; and nothing without it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed

from semblance.settings import Settings
from tests.support.api import API_KEY, CRON_SECRET, Api, User
from tests.support.realtime import serving

KEY = {"Authorization": f"Bearer {API_KEY}"}
OWN, LISTED = "http://api", "https://app.example"
PROJECT = "https://abcdefgh.supabase.co"
COOKIE = "sb-abcdefgh-auth-token"


@pytest.fixture
def api_settings(api_settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """Settings of a service for old clients; parametrize to change some."""
    changes = {"compat": "2025", "cors_origins": (LISTED,)}
    return api_settings.model_copy(update=changes | getattr(request, "param", {}))


def session(user: User) -> dict[str, Any]:
    """As supabase-js stores it."""
    return {
        "access_token": user.headers["Authorization"].removeprefix("Bearer "),
        "token_type": "bearer",
        "expires_in": 3600,
        "refresh_token": "r3fr3sh",
        "user": {"id": str(user.id), "email": user.email, "user_metadata": {"name": "Zoë"}},
    }


def in_base64(content: object) -> str:
    return "base64-" + base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def cookie(value: str, name: str = COOKIE) -> dict[str, str]:
    return {"Cookie": f"theme=dark; {name}={value}; last=1"}


def in_parts(value: str, size: int, left_over: str = "") -> dict[str, str]:
    """As a cookie of several parts, in any order; left_over: parts of an earlier, longer session."""
    parts = [value[start : start + size] for start in range(0, len(value), size)]
    named = [f"{COOKIE}.{number}={part}" for number, part in enumerate(parts)]
    assert 1 < len(named) < 9
    if left_over:
        named.append(f"{COOKIE}.{len(parts) + 1}={left_over}")
    return {"Cookie": "; ".join(reversed(named))}


async def whose(api: Api, headers: Mapping[str, str] | Mapping[bytes, bytes]) -> str | None:
    """The user whose cookie it is taken for; None if nobody's."""
    answer = await api.client.get("/api/auth/me", headers=headers)
    assert answer.status_code in {200, 401}
    return answer.json()["id"] if answer.status_code == 200 else None


# Without the setting --------------------------------------------------------------------------------------


@pytest.mark.parametrize("api_settings", [{"compat": None}], indirect=True)
async def test_without_the_setting_nothing_of_it_exists(api: Api) -> None:
    ada = await api.member("ada")
    answer = await api.client.patch("/api/auth/me", json={"nick": "a"}, headers=ada.headers)
    assert answer.status_code == 422
    for path, shape in (("/api/faces", "faces"), ("/api/matches/top", "matches")):
        assert (await api.client.get(path, headers=ada.headers)).json()[shape] == []
    generator = await api.client.post("/functions/v1/match-generator", headers=KEY)
    assert generator.status_code == 404
    no_picture = await api.client.post("/api/faces", files={"file": b"x" * 100}, headers=ada.headers)
    assert no_picture.status_code == 415
    assert await whose(api, cookie(in_base64(session(ada)))) is None


# Bodies and statuses --------------------------------------------------------------------------------------


async def test_unknown_fields_are_named_and_cannot_forge_a_header(api: Api) -> None:
    ada = await api.member("ada")
    strange = {"a\r\nSet-Cookie: x": 1, "é": 2, "x" * 500: 3, ", ": 4}
    answer = await api.client.patch("/api/auth/me", json=strange, headers=ada.headers)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert answer.headers["x-ignored-fields"] == ", ".join(
        ["%2C%20", "a%0D%0ASet-Cookie%3A%20x", "x" * 60, "%C3%A9"]
    )
    many = {f"f{number:03}": 1 for number in range(500)}
    answer = await api.client.patch("/api/auth/me", json=many, headers=ada.headers)
    assert len(answer.headers["x-ignored-fields"].split(", ")) == 20


async def test_known_fields_are_checked_as_ever(api: Api) -> None:
    ada = await api.member("ada")
    for wrong, status in (({"gender": "robot", "x": 1}, 422), ({"default_face_id": str(uuid4())}, 403)):
        answer = await api.client.patch("/api/auth/me", json=wrong, headers=ada.headers)
        assert answer.status_code == status
    # What is left out stays, and null clears.
    answer = await api.client.patch("/api/auth/me", json={"gender": None, "x": 1}, headers=ada.headers)
    assert (answer.json()["gender"], answer.json()["name"]) == (None, "ada")


@pytest.mark.parametrize("path", ["/api/faces", "/extract-embedding", "/lookalikes"])
async def test_a_file_that_is_not_a_picture_is_400(api: Api, path: str) -> None:
    headers = KEY if not path.startswith("/api") else (await api.member("ada")).headers
    form = await api.client.post(path, files={"file": b"no picture"}, headers=headers)
    assert (form.status_code, form.json()["code"]) == (400, "unreadable_image")
    text = await api.client.post(path, content=b"x", headers={**headers, "Content-Type": "text/plain"})
    assert text.status_code == 400
    # Errors with another cause keep their status.
    packed = await api.client.post(
        path, content=b"x", headers={**headers, "Content-Type": "image/jpeg", "Content-Encoding": "gzip"}
    )
    assert packed.status_code == 415


async def test_only_secrets_of_the_service_start_the_matching(api: Api) -> None:
    ada = await api.member("ada")
    for given in ("", "Bearer", "Bearer wrong", f"Basic {CRON_SECRET}", ada.headers["Authorization"]):
        headers = {"Authorization": given} if given else {}
        answer = await api.client.post("/functions/v1/match-generator", headers=headers)
        assert answer.status_code == 401, given
    # Regardless of the body and its size.
    answer = await api.client.post(
        "/functions/v1/match-generator",
        content=b"[" * 3_000_000,
        headers={"Authorization": f"Bearer {CRON_SECRET}"},
    )
    assert answer.status_code == 200


# The session cookie ---------------------------------------------------------------------------------------


async def test_a_session_is_read_however_it_was_stored(api: Api) -> None:
    ada = await api.member("ada")
    stored = session(ada)
    plain = json.dumps(stored)
    for headers in (
        cookie(in_base64(stored)),
        cookie(in_base64(stored) + "="),
        cookie(quote(plain)),
        cookie(quote(json.dumps([stored["access_token"], stored["refresh_token"], None]))),
        in_parts(in_base64(stored), 180),
        in_parts(quote(plain), 250),
        in_parts(in_base64(stored), 180, left_over="AAAA"),
    ):
        assert await whose(api, headers) == str(ada.id), headers


async def test_an_invalid_session_belongs_to_nobody(api: Api) -> None:
    for value in (
        *("", "x", "base64-", "base64-!!!", "base64-" + "A" * 3001, "%7B", "[]", "{}", "null", "7", "%FF"),
        *map(quote, ('{"access_token": 7}', '{"access_token": "a b"}', '{"access_token": "a\\r\\nX: y"}')),
        *map(quote, ('{"access_token": "é.é.é"}', "[" * 3000, '["a.b.c"]')),
    ):
        assert await whose(api, cookie(value)) is None, value


async def test_parts_without_the_first_or_with_a_gap_are_not_a_session(api: Api) -> None:
    ada = await api.member("ada")
    value = in_base64(session(ada))
    for parts in ({1: value}, {0: value[:100], 2: value[100:]}, {-7: value}, {10: value}):
        headers = {"Cookie": "; ".join(f"{COOKIE}.{number}={part}" for number, part in parts.items())}
        assert await whose(api, headers) is None


@pytest.mark.parametrize("api_settings", [{"supabase_url": PROJECT}], indirect=True)
async def test_only_the_projects_own_cookie_counts_where_it_is_known(api: Api) -> None:
    ada = await api.member("ada")
    value = in_base64(session(ada))
    assert await whose(api, cookie(value)) == str(ada.id)
    for name in (
        "sb-other-auth-token",
        "sb-abcdefgh-auth-token-code-verifier",
        "sb--auth-token",
        "auth-token",
    ):
        assert await whose(api, cookie(value, name)) is None
    both = f"sb-aaa-auth-token=x; {COOKIE}={value}"
    assert await whose(api, {"Cookie": both}) == str(ada.id)


async def test_the_header_wins(api: Api) -> None:
    ada, bob = await api.member("ada"), await api.member("bob")
    assert await whose(api, {**cookie(in_base64(session(ada))), **bob.headers}) == str(bob.id)
    wrong = {**cookie(in_base64(session(ada))), "Authorization": "Bearer wrong"}
    assert await whose(api, wrong) is None


async def test_it_opens_the_app_and_nothing_else(api: Api) -> None:
    root = await api.member("root", role="admin")
    headers = {**cookie(in_base64(session(root))), "Origin": OWN}
    assert (await api.client.get("/api/admin/settings", headers=headers)).status_code == 200
    for method, path in (
        ("POST", "/extract-embedding"),
        ("POST", "/functions/v1/match-generator"),
        ("GET", "/api/cron/process-jobs"),
    ):
        assert (await api.client.request(method, path, headers=headers)).status_code == 401


ORIGINS = {
    OWN: 204,
    "http://api:80": 204,
    "https://api": 204,  # Behind a proxy that ends TLS.
    "http://API": 204,
    LISTED: 204,
    None: 403,
    "null": 403,
    "": 403,
    "http://api:8080": 403,
    "http://api.evil.example": 403,
    "https://evil.example": 403,
    "https://app.example.evil.example": 403,
    "https://evil.example/?http://api": 403,
    "http://api@evil.example": 403,
    "http://[": 403,
    "http://api:99999": 403,
}


async def test_changes_are_accepted_from_our_pages_only(api: Api) -> None:
    for origin, status in ORIGINS.items():
        ada = api.user()
        headers = cookie(in_base64(session(ada))) | ({} if origin is None else {"Origin": origin})
        answer = await api.client.post("/api/auth/logout", headers=headers)
        assert answer.status_code == status, origin
        if status == 403:
            assert answer.json()["code"] == "forbidden"
        # With a custom header, which no foreign page can set, the origin does not matter.
        headers = {**ada.headers, "Origin": "https://evil.example"}
        own = await api.client.get("/api/auth/me", headers=headers)
        assert own.status_code == (401 if status == 204 else 200)


async def test_every_method_that_changes_something_requires_the_origin(api: Api) -> None:
    ada = await api.member("ada")
    headers = {**cookie(in_base64(session(ada))), "Origin": "https://evil.example"}
    for method in ("POST", "PATCH", "DELETE", "PUT"):
        answer = await api.client.request(method, "/api/notifications/clear-all", headers=headers)
        assert answer.status_code == 403


async def test_a_foreign_page_reads_what_guests_read(api: Api) -> None:
    ada = await api.member("ada")
    headers = cookie(in_base64(session(ada)))
    assert await whose(api, headers) == str(ada.id)
    foreign = {**headers, "Origin": "https://evil.example"}
    assert await whose(api, foreign) is None
    assert (await api.client.get("/api/matches/top/stats", headers=foreign)).json()["viewed"] is None
    assert (await api.client.get("/api/matches/top/stats", headers=headers)).json()["viewed"] == 0


@pytest.mark.parametrize("api_settings", [{"cors_origins": ("*",)}], indirect=True)
async def test_all_origins_are_not_listed_ones(api: Api) -> None:
    """With the cookie they would be: every page on the web could act for its visitor."""
    ada = await api.member("ada")
    headers = {**cookie(in_base64(session(ada))), "Origin": "https://evil.example"}
    assert (await api.client.post("/api/auth/logout", headers=headers)).status_code == 403


async def test_requests_embedded_in_foreign_pages_are_those_of_a_guest(api: Api) -> None:
    """A picture with the address of the events shows its viewer as there, and uses up their connections."""
    ada = await api.member("ada")
    value = cookie(in_base64(session(ada)))
    for site, is_ada in (("same-origin", True), ("none", True), ("same-site", False), ("cross-site", False)):
        assert (await whose(api, {**value, "Sec-Fetch-Site": site}) is not None) is is_ada, site
    # An origin is more precise.
    listed = {**value, "Sec-Fetch-Site": "cross-site", "Origin": LISTED}
    assert await whose(api, listed) == str(ada.id)


@pytest.mark.parametrize("api_settings", [{"public_url": "https://faces.example/x"}], indirect=True)
async def test_a_public_address_is_our_origin(api: Api) -> None:
    ada = await api.member("ada")
    headers = cookie(in_base64(session(ada)))
    for origin, status in ((OWN, 403), ("https://faces.example", 204)):
        answer = await api.client.post("/api/auth/logout", headers={**headers, "Origin": origin})
        assert answer.status_code == status


async def test_a_request_without_a_host_has_no_origin_of_ours(api: Api) -> None:
    """As HTTP/1.0 allows."""
    ada = await api.member("ada")
    for origin in ("null", "http://", ""):
        request = api.client.build_request(
            "POST", "/api/auth/logout", headers={**cookie(in_base64(session(ada))), "Origin": origin}
        )
        del request.headers["host"]
        assert (await api.client.send(request)).status_code == 403


async def test_a_web_socket_comes_from_a_page_of_ours(api: Api) -> None:
    ada = await api.member("ada")
    value = cookie(in_base64(session(ada)))
    async with serving(api.app) as server:
        own = server.http
        for origin, is_ada in ((own, True), (LISTED, True), ("https://evil.example", False), (None, False)):
            headers = value | ({} if origin is None else {"Origin": origin})
            async with server.listen(headers=headers) as socket:
                hello = await socket.hello()
                assert ("messages" in hello["data"]["channels"]) is is_ada, origin
            if not is_ada:
                with pytest.raises(ConnectionClosed):
                    async with server.listen(headers=headers, channels="messages") as socket:
                        await socket.next()


async def test_a_token_in_the_address_wins_over_the_cookie(api: Api) -> None:
    ada, bob = await api.member("ada"), await api.member("bob")
    headers = {**cookie(in_base64(session(ada))), "Origin": OWN}
    token = bob.headers["Authorization"].removeprefix("Bearer ")
    async with (
        serving(api.app) as server,
        server.listen(headers={**headers, "Origin": server.http}, access_token=token) as socket,
    ):
        await socket.hello()
        online = await api.owner.fetch("SELECT profile_id FROM realtime_sessions")
        assert [row["profile_id"] for row in online] == [bob.id]


async def test_an_answer_with_the_cookie_does_not_show_its_token(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    ada = await api.member("ada")
    headers = {**cookie(in_base64(session(ada))), "Origin": "https://evil.example"}
    answer = await api.client.post("/api/auth/logout", headers=headers)
    token = ada.headers["Authorization"].removeprefix("Bearer ")
    assert token not in answer.text + caplog.text


async def test_a_session_is_found_among_other_cookies_and_is_never_in_quotes(api: Api) -> None:
    ada = await api.member("ada")
    value = in_base64(session(ada))
    for others in ('a="\\303"; ', ";;=; ", f'{COOKIE}.1="x"; ', f"{COOKIE} ; ", "\xe9=\xe9;"):
        headers = {b"Cookie": f"{others}{COOKIE}={value};".encode("latin-1")}
        assert await whose(api, headers) == str(ada.id), others
    assert await whose(api, cookie(f'"{value}"')) is None
