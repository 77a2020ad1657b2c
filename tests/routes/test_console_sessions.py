"""Signing in to the console, and everything somebody may try who should not be in."""

from __future__ import annotations

import asyncio
import http.cookies
import json
import re
import secrets
import uuid
from datetime import timedelta
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from serve_app.api.cookies import SESSION_COOKIE
from tests.support.api import API_KEY, Api, User
from tests.support.console import ORIGIN, ConsoleUser, session_of, sign_in
from tests.support.realtime import serving

SESSIONS = "/api/console/sessions"


async def post(api: Api, content: object, **headers: str) -> httpx.Response:
    answer = await api.client.post(SESSIONS, json=content, headers={"Origin": ORIGIN, **headers})
    api.client.cookies.clear()
    return answer


async def by_token(api: Api, admin: User) -> ConsoleUser:
    return ConsoleUser(api, session_of(await post(api, {}, **admin.headers)))


async def raw_cookies(api: Api, *cookies: str) -> int:
    answer = await api.client.get("/api/console/session", headers=[("Cookie", cookie) for cookie in cookies])
    return answer.status_code


async def test_a_code_makes_a_session_that_tells_who_and_until_when(api: Api) -> None:
    user = await sign_in(api)
    answer = await user.call("GET", "/api/console/session", origin=None)
    assert answer.status_code == 200
    session = answer.json()
    assert (session["name"], session["profile_id"]) == ("Console", None)
    assert session["expires_at"] > session["created_at"]
    assert answer.headers["cache-control"] == "no-store"


async def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(api: Api) -> None:
    code = await api.services.db.console_sessions.make_code()
    answer = await post(api, {"code": code})
    parts = [part.strip().lower() for part in answer.headers["set-cookie"].split(";")]
    assert {"httponly", "samesite=strict", "path=/"} <= set(parts)
    [age] = [part for part in parts if part.startswith("max-age=")]
    assert 43190 <= int(age.removeprefix("max-age=")) <= 43200
    assert "secure" not in parts
    assert session_of(answer) not in answer.text


async def test_the_cookie_is_secure_where_the_page_came_by_https(api: Api) -> None:
    code = await api.services.db.console_sessions.make_code()
    answer = await post(api, {"code": code}, Origin="https://api")
    assert "; secure" in answer.headers["set-cookie"].lower()


async def test_a_code_works_once_even_for_many_at_the_same_time(api: Api) -> None:
    code = await api.services.db.console_sessions.make_code()
    answers = await asyncio.gather(*(post(api, {"code": code}) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, *[401] * 5]
    assert (await post(api, {"code": code})).status_code == 401


async def test_a_code_ends_after_two_minutes(api: Api) -> None:
    code = await api.services.db.console_sessions.make_code()
    lasts = await api.owner.fetchval("SELECT extract(epoch FROM expires_at - now()) FROM console_codes")
    assert 110 < lasts <= 120
    await api.owner.execute("UPDATE console_codes SET expires_at = now() - interval '1 second'")
    assert (await post(api, {"code": code})).status_code == 401
    await api.services.db.console_sessions.prune()
    assert await api.owner.fetchval("SELECT count(*) FROM console_codes") == 0


async def test_a_used_link_says_how_to_get_another(api: Api) -> None:
    answer = await post(api, {"code": secrets.token_urlsafe(32)})
    assert answer.status_code == 401
    assert "`semblance console` prints a new one" in answer.json()["error"]


@pytest.mark.parametrize("code", ["", "x", "x" * 100, "x\0y", "' OR 1=1 --", "ä" * 43])
async def test_what_is_no_code_signs_nobody_in(api: Api, code: str) -> None:
    answer = await post(api, {"code": code})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


async def test_neither_code_nor_token_signs_nobody_in(api: Api) -> None:
    assert (await post(api, {})).status_code == 401
    assert (await post(api, {}, Authorization=f"Bearer {API_KEY}")).status_code == 401


async def test_guesses_keep_no_operator_out(api: Api) -> None:
    """They may share an address, such as that of a school or of a proxy."""
    for _ in range(30):
        assert (await post(api, {"code": secrets.token_urlsafe(32)})).status_code == 401
    code = await api.services.db.console_sessions.make_code()
    assert (await post(api, {"code": code})).status_code == 201


async def test_only_hashes_are_stored(api: Api) -> None:
    code = await api.services.db.console_sessions.make_code()
    user = await sign_in(api)
    stored = await api.owner.fetch(
        "SELECT to_jsonb(c)::text AS row FROM console_codes AS c"
        " UNION ALL SELECT to_jsonb(s)::text FROM console_sessions AS s"
        " UNION ALL SELECT to_jsonb(a)::text FROM audit_log AS a"
        " UNION ALL SELECT to_jsonb(e)::text FROM events AS e"
    )
    text = " ".join(row["row"] for row in stored)
    assert code not in text
    assert user.token not in text


async def test_an_admins_token_makes_a_session_and_others_do_not(api: Api) -> None:
    admin, other = await api.member("Ada", role="admin"), await api.member("Bob")
    session = (await (await by_token(api, admin)).call("GET", "/api/console/session")).json()
    assert (session["name"], session["profile_id"]) == ("Ada", str(admin.id))
    assert (await post(api, {}, **other.headers)).status_code == 403


async def test_a_session_given_beforehand_is_never_taken_over(api: Api) -> None:
    """Session fixation: the secret is always made by the service."""
    planted = secrets.token_urlsafe(32)
    code = await api.services.db.console_sessions.make_code()
    answer = await post(api, {"code": code}, Cookie=f"{SESSION_COOKIE}={planted}")
    assert session_of(answer) != planted
    assert (await ConsoleUser(api, planted).call("GET", "/api/console/session")).status_code == 401


async def test_signing_out_ends_the_session_and_removes_the_cookie(api: Api) -> None:
    user, other = await sign_in(api), await sign_in(api)
    answer = await user.call("DELETE", "/api/console/session")
    assert answer.status_code == 204
    assert f'{SESSION_COOKIE}=""; ' in answer.headers["set-cookie"]
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert (await user.call("GET", "/api/console/session")).status_code == 401
    assert (await other.call("GET", "/api/console/session")).status_code == 200


async def test_sessions_are_listed_and_revoked(api: Api) -> None:
    user, other = await sign_in(api), await sign_in(api)
    mine = (await user.call("GET", "/api/console/session")).json()["id"]
    first = (await user.call("GET", "/api/admin/console-sessions?limit=1")).json()
    rest = (await user.call("GET", f"/api/admin/console-sessions?cursor={first['next_cursor']}")).json()
    listed = [*first["sessions"], *rest["sessions"]]
    assert len(listed) == 2
    assert rest["next_cursor"] is None
    [theirs] = [session["id"] for session in listed if session["id"] != mine]
    assert (await user.call("DELETE", f"/api/admin/console-sessions/{theirs}")).status_code == 204
    assert (await user.call("DELETE", f"/api/admin/console-sessions/{theirs}")).status_code == 404
    assert (await other.call("GET", "/api/console/session")).status_code == 401


@pytest.mark.parametrize("column", ["revoked_at = now()", "expires_at = now() - interval '1 second'"])
async def test_a_session_that_was_revoked_or_has_expired_opens_nothing(api: Api, column: str) -> None:
    user = await sign_in(api)
    await api.owner.execute(f"UPDATE console_sessions SET {column}")
    for path in ("/api/console/session", "/api/admin/settings"):
        assert (await user.call("GET", path)).status_code == 401
    answer = await user.call("POST", "/compare-faces", json={"embedding_a": [1], "embedding_b": [1]})
    assert answer.status_code == 401


async def test_all_can_be_signed_out_at_once(api: Api) -> None:
    users = [await sign_in(api) for _ in range(2)]
    code = await api.services.db.console_sessions.make_code()
    assert await api.services.db.console_sessions.revoke_all() == 2
    assert [(await user.call("GET", "/api/console/session")).status_code for user in users] == [401, 401]
    assert (await post(api, {"code": code})).status_code == 401


async def test_a_session_ends_when_its_admin_is_no_longer_one(api: Api) -> None:
    admin, other = await api.member("Ada", role="admin"), await api.member("Eve", role="admin")
    user, unconcerned = await by_token(api, admin), await by_token(api, other)
    await api.owner.execute("UPDATE profiles SET role = 'user' WHERE id = $1", admin.id)
    assert (await user.call("GET", "/api/admin/settings")).status_code == 401
    # And stays ended.
    await api.owner.execute("UPDATE profiles SET role = 'admin' WHERE id = $1", admin.id)
    assert (await user.call("GET", "/api/admin/settings")).status_code == 401
    assert (await unconcerned.call("GET", "/api/admin/settings")).status_code == 200


async def test_a_session_ends_with_its_admins_profile(api: Api) -> None:
    admin = await api.member("Ada", role="admin")
    user = await by_token(api, admin)
    await api.owner.execute("DELETE FROM profiles WHERE id = $1", admin.id)
    assert (await user.call("GET", "/api/admin/settings")).status_code == 401


async def test_a_session_ends_when_its_admin_signs_out_of_the_app(api: Api) -> None:
    admin = await api.member("Ada", role="admin")
    user = await by_token(api, admin)
    assert (await api.client.post("/api/auth/logout", headers=admin.headers)).status_code == 204
    assert (await user.call("GET", "/api/admin/settings")).status_code == 401
    # What is known of the token's session is forgotten with the token; the console's stays ended.
    await api.owner.execute("DELETE FROM revoked_sessions")
    assert (await user.call("GET", "/api/admin/settings")).status_code == 401


async def test_signing_out_while_a_session_is_made_ends_it_too(api: Api) -> None:
    """Whichever comes first."""
    admin = await api.member("Ada", role="admin")
    for number in range(8):
        key = uuid.uuid4().bytes * 2
        made, _ = await asyncio.gather(
            api.services.db.console_sessions.open_for(admin.id, key),
            api.services.db.sessions.revoke(key, admin.id, 4e9 + number),
            return_exceptions=True,
        )
        if not isinstance(made, BaseException):
            assert await api.services.db.console_sessions.use(made.token) is None


@pytest.mark.parametrize(
    "origin",
    [None, "null", "https://evil.example", "http://api.evil.example", "http://api:81", "http://API/"],
)
async def test_a_change_from_another_origin_is_refused(api: Api, origin: str | None) -> None:
    user = await sign_in(api)
    calls = (
        ("PATCH", "/api/admin/settings", {"match_threshold": 0.9}),
        ("POST", "/api/admin/schools", {"name": "MIT", "domains": [], "aliases": []}),
        ("DELETE", "/api/console/session", None),
        ("POST", "/compare-faces", {"embedding_a": [1], "embedding_b": [1]}),
    )
    for method, path, body in calls:
        answer = await user.call(method, path, origin=origin, json=body)
        assert answer.status_code == 403, path
    assert (await user.call("GET", "/api/admin/settings")).json()["match_threshold"] == 0.5


async def test_no_route_of_operators_takes_a_change_from_another_origin(api: Api) -> None:
    user = await sign_in(api)
    before = await api.owner.fetch("SELECT id FROM audit_log")
    changes = [
        (method.upper(), re.sub(r"\{\w+\}", str(uuid.uuid4()), path))
        for path, methods in api.app.openapi()["paths"].items()
        for method in methods
        if method != "get" and path.startswith(("/api/admin/", "/api/console/"))
    ]
    assert len(changes) > 30
    for method, path in changes:
        answer = await user.call(method, path, origin="https://evil.example", json={})
        assert answer.status_code == 403, f"{method} {path}: {answer.text}"
    assert await api.owner.fetch("SELECT id FROM audit_log") == before


@pytest.mark.parametrize("origin", ["http://api", "https://api", "http://API".lower()])
async def test_a_change_from_a_page_of_the_service_is_made(api: Api, origin: str) -> None:
    user = await sign_in(api)
    answer = await user.call("PATCH", "/api/admin/settings", origin=origin, json={"match_threshold": 0.6})
    assert answer.json()["match_threshold"] == 0.6


async def test_two_origins_are_not_one(api: Api) -> None:
    user = await sign_in(api)
    headers = [
        ("Cookie", f"{SESSION_COOKIE}={user.token}"), ("Origin", ORIGIN), ("Origin", "https://evil.example"),
    ]  # fmt: skip
    answer = await api.client.patch("/api/admin/settings", headers=headers, json={"match_threshold": 0.9})
    assert answer.status_code == 403


async def test_nobody_is_signed_in_from_another_origin(api: Api) -> None:
    code = await api.services.db.console_sessions.make_code()
    assert (await post(api, {"code": code}, Origin="https://evil.example")).status_code == 403
    # The code is not spent by it.
    assert (await post(api, {"code": code})).status_code == 201


async def test_reading_with_the_origin_of_another_page_is_refused(api: Api) -> None:
    user = await sign_in(api)
    answer = await user.call("GET", "/api/admin/settings", origin="https://evil.example")
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


async def test_the_cookie_is_read_by_its_exact_name_and_form(api: Api) -> None:
    token = (await sign_in(api)).token
    good = f"{SESSION_COOKIE}={token}"
    assert await raw_cookies(api, good) == 200
    assert await raw_cookies(api, f"a=b; {good}; theme=dark") == 200
    assert await raw_cookies(api, "a=b", good) == 200
    assert await raw_cookies(api, good, good) == 200
    for wrong in (
        f"{SESSION_COOKIE}={secrets.token_urlsafe(32)}",
        f'{SESSION_COOKIE}="{token}"',
        f"{SESSION_COOKIE}={token}x",
        f"{SESSION_COOKIE}={token[:-1]}",
        f"{SESSION_COOKIE}=",
        f"{SESSION_COOKIE.upper()}={token}",
        f"x{SESSION_COOKIE}={token}",
        f"{SESSION_COOKIE} ={token}",
        f"{SESSION_COOKIE}={token}, a=b",
    ):
        assert await raw_cookies(api, wrong) == 401, wrong


async def test_two_different_sessions_are_none(api: Api) -> None:
    one, other = (await sign_in(api)).token, (await sign_in(api)).token
    assert await raw_cookies(api, f"{SESSION_COOKIE}={one}; {SESSION_COOKIE}={other}") == 401
    assert await raw_cookies(api, f"{SESSION_COOKIE}={one}", f"{SESSION_COOKIE}={other}") == 401
    assert await raw_cookies(api, f"{SESSION_COOKIE}={one}; {SESSION_COOKIE}=x") == 401


async def test_a_cookie_that_is_slow_to_unquote_costs_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = (await sign_in(api)).token
    slow = 'x="' + "\\" * 16_000 + '"'

    def unquote(text: str) -> str:
        raise AssertionError

    monkeypatch.setattr(http.cookies, "_unquote", unquote)
    assert await raw_cookies(api, f"{slow}; {SESSION_COOKIE}={token}") == 200
    assert await raw_cookies(api, f'{SESSION_COOKIE}="{chr(92) * 16_000}"') == 401


async def test_no_reading_changes_anything(api: Api) -> None:
    """So that a link or a picture of another site, which sends no origin, has no effect."""
    user = await sign_in(api)
    unsafe = [
        (method, path)
        for path, methods in api.app.openapi()["paths"].items()
        for method in methods
        if "/console" in path or path.startswith("/api/admin")
    ]
    assert ("delete", "/api/console/session") in unsafe
    # An export is recorded, and changes nothing.
    changes = "SELECT id FROM audit_log WHERE action <> 'gallery.export'"
    before = await api.owner.fetch(changes)
    for path in {path for _, path in unsafe}:
        await user.call("GET", path.replace("{", "").replace("}", ""), origin=None)
        await user.call("HEAD", path.replace("{", "").replace("}", ""), origin=None)
    assert await api.owner.fetch(changes) == before
    assert (await user.call("GET", "/api/console/session")).status_code == 200


async def test_a_session_opens_what_an_operator_needs_and_no_users_routes(api: Api) -> None:
    user = await sign_in(api)
    for path in (
        "/api/admin/settings", "/api/admin/schools", "/api/admin/generations", "/api/admin/jobs/stats",
        "/api/admin/audit",
    ):  # fmt: skip
        assert (await user.call("GET", path)).status_code == 200, path
    answer = await user.call("POST", "/compare-faces", json={"embedding_a": [1, 0], "embedding_b": [1, 0]})
    assert answer.json()["similarity"] == 1
    for path in ("/api/auth/me", "/api/faces", "/api/messages"):
        assert (await user.call("GET", path)).status_code in {401, 404, 405}, path


async def test_credentials_that_the_client_sends_itself_come_first(api: Api) -> None:
    user, other = await sign_in(api), await api.member("Bob")
    headers = {"Cookie": f"{SESSION_COOKIE}={user.token}", "Origin": ORIGIN, **other.headers}
    assert (await api.client.get("/api/admin/settings", headers=headers)).status_code == 403


# A use in the future was noted before the clock was set back.
@pytest.mark.parametrize("unused", [timedelta(seconds=-61), timedelta(days=30)])
async def test_the_use_of_a_session_is_noted_once_a_minute(api: Api, unused: timedelta) -> None:
    user = await sign_in(api)
    await api.owner.execute("UPDATE console_sessions SET last_used_at = now() - interval '30 seconds'")
    first = (await user.call("GET", "/api/console/session")).json()["last_used_at"]
    assert (await user.call("GET", "/api/console/session")).json()["last_used_at"] == first
    await api.owner.execute("UPDATE console_sessions SET last_used_at = now() + $1::interval", unused)
    await user.call("GET", "/api/console/session")
    age = await api.owner.fetchval("SELECT now() - last_used_at FROM console_sessions")
    assert timedelta() <= age < timedelta(seconds=61)


async def test_operators_are_told_of_changes_and_their_sockets_end_with_the_session(api: Api) -> None:
    user = await sign_in(api)
    async with serving(api.app) as server:
        cookie = {"Cookie": f"{SESSION_COOKIE}={user.token}", "Origin": server.http}
        async with server.listen(headers=cookie) as socket:
            assert (await socket.hello())["data"] == {"channels": ["admin"]}
            changed = await user.call("PATCH", "/api/admin/settings", json={"match_threshold": 0.6})
            assert changed.status_code == 200
            told: dict[str, Any] = {}
            # What happened before may be told, too.
            while "settings" not in told or told.get("audit", {}).get("action") != "settings.change":
                event = await socket.next()
                told[event["type"]] = event["data"]
            assert told["settings"] == {"keys": ["match_threshold"]}
            assert told["audit"]["target"] == "match_threshold"
            await user.call("DELETE", "/api/console/session")
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    await socket.next()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4401


async def test_a_socket_by_cookie_needs_the_services_own_origin(api: Api) -> None:
    user = await sign_in(api)
    async with serving(api.app) as server:
        for origin in ({"Origin": "https://evil.example"}, {}):
            headers = {"Cookie": f"{SESSION_COOKIE}={user.token}", **origin}
            async with server.listen(headers=headers) as socket:
                with pytest.raises(ConnectionClosed) as closed:
                    await socket.next()
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 4403
        # A stream of events is a page's own GET, which has no origin.
        async with httpx.AsyncClient(trust_env=False) as client:
            cookie = {"Cookie": f"{SESSION_COOKIE}={user.token}"}
            url = f"{server.http}/api/realtime/events"
            foreign = await client.get(url, headers={**cookie, "Origin": "https://evil.example"})
            assert foreign.status_code == 403
            async with client.stream("GET", url, headers=cookie) as stream:
                lines = stream.aiter_lines()
                while not (line := await anext(lines)).startswith("data:"):
                    pass
                assert json.loads(line.removeprefix("data:"))["type"] == "hello"


async def test_the_channel_of_operators_is_for_no_one_else(api: Api) -> None:
    admin, other = await api.member("Ada", role="admin"), await api.member("Bob")
    async with serving(api.app) as server:
        for user, code in ((other, 4403), (None, 4401)):
            async with server.listen(user, channels="admin") as socket:
                with pytest.raises(ConnectionClosed) as closed:
                    await socket.next()
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == code
        async with (
            server.listen(other) as everything,
            server.listen(other, channels="jobs,feed") as quiet,
            server.listen(admin, channels="admin") as socket,
        ):
            assert "admin" not in (await everything.hello())["data"]["channels"]
            await quiet.hello()
            await socket.hello()
            answer = await api.client.patch(
                "/api/admin/settings", headers=admin.headers, json={"match_threshold": 0.6}
            )
            assert answer.status_code == 200
            await socket.until("settings")
            await api.owner.execute("UPDATE profiles SET role = 'user' WHERE id = $1", admin.id)
            with pytest.raises(ConnectionClosed):
                while True:
                    await socket.next()
            assert await quiet.quiet()
