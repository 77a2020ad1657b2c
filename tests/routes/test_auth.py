"""The first token, the user's own profile, and what is public before."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import replace
from typing import Any

import httpx
import jwt
import pytest

from semblance.settings import Settings
from serve_app.auth import TokenVerifier
from tests.support.api import JWT_SECRET, Api, User, make_token
from tests.support.identity_provider import serving

FIELDS = {"id", "name", "email", "gender", "school", "default_face_id", "image", "show_presence"} | {
    "text_generation",
    "message_search",
    "bio",
}


def _headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def _me(api: Api, user: User) -> httpx.Response:
    return await api.client.get("/api/auth/me", headers=user.headers)


async def _patch(api: Api, user: User, **changes: object) -> httpx.Response:
    return await api.client.patch("/api/auth/me", json=changes, headers=user.headers)


async def _profiles(api: Api) -> int:
    return int(await api.services.database.fetchval("SELECT count(*) FROM profiles"))


async def _allow_non_edu(api: Api, allowed: bool) -> None:
    await api.services.database.execute(
        "UPDATE system_settings SET value = $1 WHERE key = 'allow_non_edu_emails'", allowed
    )


async def _face(api: Api, user: User) -> uuid.UUID:
    face = await api.services.database.fetchval(
        "INSERT INTO faces (profile_id, image_path) VALUES ($1, $2) RETURNING id",
        user.id,
        f"faces/{uuid.uuid4()}.jpg",
    )
    assert isinstance(face, uuid.UUID)
    return face


# The first token ------------------------------------------------------------------------------------------


async def test_the_first_token_makes_the_profile(api: Api) -> None:
    user = api.user("Ada@CS.Stanford.edu")
    metadata = {"name": "Ada", "gender": "female", "role": "admin", "school": "mit.edu"}
    token = make_token(user.id, user.email, user_metadata=metadata, app_metadata={"role": "admin"})
    answer = await api.client.get("/api/auth/me", headers=_headers(token))
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "id": str(user.id),
        "name": "Ada",
        "email": "ada@cs.stanford.edu",
        "gender": "female",
        "school": "stanford.edu",
        "default_face_id": None,
        "image": None,
        "show_presence": True,
        "text_generation": False,
        "message_search": False,
        "bio": None,
    }
    # The role comes from the database, not from the token.
    role = await api.services.database.fetchval("SELECT role FROM profiles WHERE id = $1", user.id)
    assert role == "user"
    assert (await api.client.get("/api/admin/settings", headers=_headers(token))).status_code == 403


async def test_later_tokens_change_nothing(api: Api) -> None:
    user = api.user("ada@mit.edu")
    assert (await _me(api, user)).status_code == 200
    assert (await _patch(api, user, name="Ada L.", school="Analytical")).status_code == 200
    token = make_token(user.id, "new@harvard.edu", user_metadata={"name": "Other"})
    answer = (await api.client.get("/api/auth/me", headers=_headers(token))).json()
    assert (answer["name"], answer["email"], answer["school"]) == ("Ada L.", "ada@mit.edu", "Analytical")


@pytest.mark.parametrize(
    "email", ["ada@gmail.com", "ada@evil.edu.com", "ada@fakeedu", "ada@mit.edu.", "ada@evil.com@mit.edu", ""]
)
async def test_other_addresses_are_refused_unless_allowed(api: Api, email: str) -> None:
    user = User(uuid.uuid4(), email, _headers(make_token(uuid.uuid4(), email)))
    answer = await _me(api, user)
    assert answer.status_code == 403
    assert answer.json()["code"] == "email_not_allowed"
    assert await _profiles(api) == 0
    assert (await api.client.get("/api/config")).json() == {"allowNonEduEmails": False}

    await _allow_non_edu(api, allowed=True)
    assert (await api.client.get("/api/config")).json() == {"allowNonEduEmails": True}
    answer = await _me(api, user)
    assert answer.status_code == 200
    # Everybody at a mail provider would be at one school.
    assert answer.json()["school"] is None

    # Users who have signed in stay signed in.
    await _allow_non_edu(api, allowed=False)
    assert (await _me(api, user)).status_code == 200


async def test_an_address_may_be_missing(api: Api) -> None:
    subject = uuid.uuid4()
    content = {"sub": str(subject), "aud": "authenticated", "exp": int(time.time()) + 60}
    headers = _headers(jwt.encode(content, JWT_SECRET, algorithm="HS256"))
    assert (await api.client.get("/api/auth/me", headers=headers)).status_code == 403
    await _allow_non_edu(api, allowed=True)
    answer = await api.client.get("/api/auth/me", headers=headers)
    assert (answer.status_code, answer.json()["email"]) == (200, None)


async def test_two_first_requests_at_once_make_one_profile(api: Api) -> None:
    for _ in range(5):
        user = api.user()
        answers = await asyncio.gather(*(_me(api, user) for _ in range(8)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.text for answer in answers}) == 1
    assert await _profiles(api) == 5


async def test_an_address_belongs_to_one_profile(api: Api) -> None:
    first, second = api.user("ada@mit.edu"), api.user("ADA@mit.edu")
    answers = await asyncio.gather(_me(api, first), _me(api, second))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    refused = max(answers, key=lambda answer: answer.status_code)
    assert refused.json()["code"] == "email_taken"
    assert "ada@mit.edu" not in refused.text
    assert await _profiles(api) == 1


async def test_a_celebrity_is_not_signed_in(api: Api) -> None:
    user = api.user("star@mit.edu")
    await api.services.database.execute(
        "INSERT INTO profiles (id, profile_type) VALUES ($1, 'celebrity')", user.id
    )
    assert (await _me(api, user)).status_code == 409


async def test_a_profile_without_school_gets_that_of_the_address(api: Api) -> None:
    """As for a profile that was created with the account on Supabase."""
    user = api.user("ada@cs.stanford.edu")
    await api.services.database.execute(
        "INSERT INTO profiles (id, profile_type, email, name) VALUES ($1, 'user', $2, 'Ada')",
        user.id,
        user.email,
    )
    answers = await asyncio.gather(*(_me(api, user) for _ in range(4)))
    assert {answer.json()["school"] for answer in answers} == {"stanford.edu"}
    stored = await api.services.database.fetchval("SELECT school FROM profiles WHERE id = $1", user.id)
    assert stored == "stanford.edu"


# Credentials ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer "}, {"Authorization": "Basic YTpi"},
                                     _headers("x"), _headers("a.b.c")])  # fmt: skip
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/auth/me"), ("PATCH", "/api/auth/me"), ("POST", "/api/auth/logout")]
)
async def test_without_a_valid_token_nothing_is_shown(
    api: Api, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = await api.client.request(method, path, headers=headers, json={})
    assert answer.status_code == 401
    assert answer.json().keys() == {"error", "code", "request_id"}
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_the_service_key_is_no_user(api: Api) -> None:
    key = api.services.settings.required_api_key.get_secret_value()
    assert (await api.client.get("/api/auth/me", headers=_headers(key))).status_code == 401


async def test_an_expired_token_has_a_specific_error(api: Api) -> None:
    user = api.user()
    answer = await api.client.get("/api/auth/me", headers=_headers(make_token(user.id, user.email, exp=1)))
    assert answer.status_code == 401
    assert "expired" in answer.json()["error"]


async def test_logout(api: Api) -> None:
    user = api.user()
    answer = await api.client.post("/api/auth/logout", headers=user.headers)
    assert (answer.status_code, answer.content) == (204, b"")


# The profile ----------------------------------------------------------------------------------------------


async def test_fields_are_changed_one_by_one(api: Api) -> None:
    user = api.user("ada@mit.edu")
    before = (await _me(api, user)).json()
    assert before.keys() == FIELDS
    expected: dict[str, Any] = before
    for change in ({"name": "  Ada  "}, {"gender": "other"}, {"school": "MIT"}, {}):
        answer = await _patch(api, user, **change)
        assert answer.status_code == 200, answer.text
        expected |= {key: value.strip() for key, value in change.items()}
        assert answer.json() == expected
    assert (await _me(api, user)).json() == expected


async def test_null_clears(api: Api) -> None:
    user = await api.member("Ada", school="mit", gender="female")
    await _patch(api, user, default_face_id=str(await _face(api, user)))
    answer = await _patch(api, user, name=None, gender=None, default_face_id=None, school=None)
    assert answer.status_code == 200
    cleared = answer.json()
    assert [cleared[field] for field in ("name", "gender", "default_face_id", "image")] == [None] * 4
    # The school falls back to that of the address.
    assert cleared["school"] == "mit.edu"


@pytest.mark.parametrize(
    "body",
    [
        '{"name": ""}',
        '{"name": "   "}',
        '{"name": 7}',
        '{"name": "a\\u0000b"}',
        '{"name": "\\ud800"}',
        '{"name": "two\\nlines"}',
        '{"name": "' + "x" * 101 + '"}',
        '{"school": "\\u00a0"}',
        '{"gender": "robot"}',
        '{"gender": ""}',
        '{"default_face_id": "mine"}',
        '{"default_face_id": 1}',
        '{"email": "other@mit.edu"}',
        '{"role": "admin"}',
        '{"id": "11111111-2222-4333-8444-555555555555"}',
        "[]",
        "null",
        "",
        "{",
    ],
)
async def test_an_invalid_value_is_refused_and_changes_nothing(api: Api, body: str) -> None:
    user = await api.member("Ada")
    before = (await _me(api, user)).json()
    headers = {**user.headers, "Content-Type": "application/json"}
    answer = await api.client.patch("/api/auth/me", content=body, headers=headers)
    assert answer.status_code == 422, answer.text
    assert (await _me(api, user)).json() == before


async def test_the_default_face_is_shown_by_a_signed_link(api: Api) -> None:
    user = await api.member("Ada")
    face = await _face(api, user)
    key = await api.services.database.fetchval("SELECT image_path FROM faces WHERE id = $1", face)
    await api.services.storage.put(key, b"picture", "image/jpeg")
    answer = await _patch(api, user, default_face_id=str(face))
    assert answer.status_code == 200
    assert answer.json()["default_face_id"] == str(face)
    image = (await _me(api, user)).json()["image"]
    assert (await api.client.get(image)).content == b"picture"
    assert (await api.client.get(image.replace("signature=", "signature=0"))).status_code == 403


async def test_a_default_face_must_belong_to_the_user(api: Api) -> None:
    user, other = await api.member("Ada"), await api.member("Bob", gender="male")
    theirs = await _face(api, other)
    for face in (theirs, uuid.uuid4()):
        answer = await _patch(api, user, default_face_id=str(face), name="Eve")
        assert answer.status_code == 403
    unchanged = (await _me(api, user)).json()
    assert (unchanged["default_face_id"], unchanged["name"]) == (None, "Ada")


async def test_a_face_deleted_meanwhile_is_a_403_or_unset(api: Api) -> None:
    user = await api.member("Ada")
    for _ in range(20):
        face = await _face(api, user)
        answer, _ = await asyncio.gather(
            _patch(api, user, default_face_id=str(face)),
            api.services.database.execute("DELETE FROM faces WHERE id = $1", face),
        )
        assert answer.status_code in {200, 403}, answer.text
        assert (await _me(api, user)).json()["default_face_id"] is None


async def test_changes_at_once_do_not_undo_each_other(api: Api) -> None:
    user = await api.member("Ada")
    await asyncio.gather(
        _patch(api, user, name="Augusta"), _patch(api, user, gender="other"), _patch(api, user, school="Home")
    )
    answer = (await _me(api, user)).json()
    assert (answer["name"], answer["gender"], answer["school"]) == ("Augusta", "other", "Home")


# The provider's keys --------------------------------------------------------------------------------------


async def test_users_sign_in_by_the_providers_keys(api: Api, api_settings: Settings) -> None:
    with serving() as provider:
        provider.add_key("rsa", "RS256")
        settings = api_settings.model_copy(update={"jwt_jwks_url": provider.url})
        api.app.state.services = replace(api.services, tokens=TokenVerifier(settings))
        subject = str(uuid.uuid4())
        headers = _headers(provider.token("rsa", sub=subject))
        answer = await api.client.get("/api/auth/me", headers=headers)
        assert (answer.status_code, answer.json()["id"]) == (200, subject)
        # The local secret stays valid beside them.
        assert (await _me(api, api.user())).status_code == 200


async def test_a_provider_out_of_reach_is_503_for_its_tokens_only(api: Api, api_settings: Settings) -> None:
    with serving() as provider:
        provider.add_key("rsa", "RS256")
        provider.status = 500
        settings = api_settings.model_copy(update={"jwt_jwks_url": provider.url})
        api.app.state.services = replace(api.services, tokens=TokenVerifier(settings))
        answer = await api.client.get("/api/auth/me", headers=_headers(provider.token("rsa")))
        assert (answer.status_code, answer.json()["code"]) == (503, "identity_provider")
        assert int(answer.headers["Retry-After"]) > 0
        assert (await _me(api, api.user())).status_code == 200
