"""Which access tokens are accepted, and how that follows the identity provider's keys over time."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
import uuid
from collections.abc import Iterator

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr, ValidationError

from semblance.errors import IdentityProviderError, UnauthorizedError
from semblance.schools import school_of
from semblance.settings import Settings
from serve_app.auth import LEEWAY_S, TokenVerifier
from serve_app.signing_keys import COOLDOWN_S, LIFETIME_S, SigningKeys
from tests.support.identity_provider import IdentityProvider, serving
from tests.support.waiting import PATIENCE_S, until

SECRET = "a-secret-of-the-project" * 3
SUBJECT = uuid.UUID("11111111-2222-4333-8444-555555555555")


class Clock:
    """A clock that goes on when it is told to, in seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[IdentityProvider]:
    # However busy the machine is, it answers in time.
    monkeypatch.setattr("serve_app.signing_keys._FETCH_SECONDS", PATIENCE_S)
    with serving() as running:
        running.add_key("first")
        yield running


def _settings(provider: IdentityProvider | None = None, **changes: object) -> Settings:
    url = None if provider is None else provider.url
    return Settings(**{"jwt_secret": SecretStr(SECRET), "jwt_jwks_url": url, **changes})  # type: ignore[arg-type]


def _signed(algorithm: str = "HS256", secret: str = SECRET, **claims: object) -> str:
    content = {
        "sub": str(SUBJECT),
        "email": "Ada@MIT.edu",
        "aud": "authenticated",
        "exp": int(time.time()) + 60,
        **claims,
    }
    return jwt.encode({k: v for k, v in content.items() if v is not None}, secret, algorithm=algorithm)


async def _refused(verifier: TokenVerifier, token: str) -> bool:
    try:
        await verifier.verify(token)
    except UnauthorizedError:
        return True
    return False


def _part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


async def test_a_token_of_the_secret_gives_its_claims() -> None:
    metadata = {"full_name": " Ada Lovelace ", "gender": "female"}
    claims = await TokenVerifier(_settings()).verify(_signed(user_metadata=metadata))
    assert (claims.subject, claims.email) == (SUBJECT, "ada@mit.edu")
    assert (claims.name, claims.gender) == ("Ada Lovelace", "female")


@pytest.mark.parametrize(
    "metadata",
    [None, [], "Ada", {"name": ""}, {"name": 7, "gender": "robot"}, {"name": "a\0b", "gender": ["male"]},
     {"name": "\ud800"}, {"name": "x" * 101}],
)  # fmt: skip
async def test_an_accounts_metadata_may_be_nonsense(metadata: object) -> None:
    claims = await TokenVerifier(_settings()).verify(_signed(user_metadata=metadata))
    assert (claims.name, claims.gender) == (None, None)


@pytest.mark.parametrize("email", [None, "", 7, "nobody", "a\0@mit.edu", "a@" + "x" * 260 + ".edu"])
async def test_an_invalid_address_is_ignored(email: object) -> None:
    assert (await TokenVerifier(_settings()).verify(_signed(email=email))).email is None


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(time.time()) - 60},
        {"exp": None},
        {"exp": "soon"},
        {"nbf": int(time.time()) + 3600},
        {"iat": int(time.time()) + 3600},
        {"aud": "anon"},
        {"aud": None},
        {"aud": ["anon"]},
        {"iss": "https://elsewhere.example/auth/v1"},
        {"iss": None},
        {"sub": None},
        {"sub": "ada"},
        {"sub": "{11111111-2222-4333-8444-555555555555}"},
        {"sub": SUBJECT.hex},
    ],
)
async def test_a_wrong_claim_is_refused(claims: dict[str, object]) -> None:
    issuer = "https://project.example/auth/v1"
    verifier = TokenVerifier(_settings(jwt_issuer=issuer))
    assert not await _refused(verifier, _signed(iss=issuer))
    assert await _refused(verifier, _signed(**({"iss": issuer} | claims)))  # type: ignore[arg-type]


async def test_a_clock_that_is_wrong_is_named() -> None:
    ahead = int(time.time()) + 3600
    for claims in ({"nbf": ahead}, {"iat": ahead}):
        with pytest.raises(UnauthorizedError, match="clock"):
            await TokenVerifier(_settings()).verify(_signed(**claims))  # type: ignore[arg-type]


async def test_clocks_may_differ_a_little() -> None:
    now = int(time.time())
    assert not await _refused(TokenVerifier(_settings()), _signed(exp=now - 3, nbf=now + 3, iat=now + 3))


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        "....",
        "é.è.ê",
        _signed(secret="another-secret-of-the-same-quality"),
        _signed("HS512"),
        _signed()[:-2],
        # "none", in the ways that have fooled others.
        *(
            f"{_part({'alg': alg, 'typ': 'JWT'})}.{_signed().split('.')[1]}.{signature}"
            for alg in ("none", "None", "NONE", "", None, ["HS256"])
            for signature in ("", _signed().split(".")[2])
        ),
        f"{_part(['HS256'])}.{_part({})}.",
        f"{base64.urlsafe_b64encode(b'[' * 30_000).decode()}.{_part({})}.AA",
        f"{_part({'alg': 'HS256', 'kid': 7})}.{_part({})}.AA",
    ],
)
async def test_a_wrong_signature_is_refused(token: str) -> None:
    assert await _refused(TokenVerifier(_settings()), token)


async def test_a_token_that_was_taken_is_refused_once_it_has_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    verifier, now = TokenVerifier(_settings()), time.time()
    token = _signed(exp=int(now) + 60, iat=int(now) - 30)
    claims = await verifier.verify(token)
    assert await verifier.verify(token) is claims
    # Tokens of the session that the client has refreshed meanwhile live as long as this one.
    assert claims.session.outlived_at() == pytest.approx(now + 90 + LEEWAY_S, abs=20)
    monkeypatch.setattr(time, "time", lambda: now + 50)
    assert claims.session.outlived_at() == pytest.approx(now + 140 + LEEWAY_S, abs=5)
    monkeypatch.setattr(time, "time", lambda: int(now) + 60 + LEEWAY_S - 1.0)
    assert not await _refused(verifier, token)
    monkeypatch.setattr(time, "time", lambda: int(now) + 60 + LEEWAY_S + 0.0)
    assert await verifier._known(hashlib.sha256(token.encode()).digest()) is None


async def test_tokens_without_number_take_no_memory_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.auth.CHECKED", 3)
    verifier = TokenVerifier(_settings())
    tokens = [_signed(jti=str(number)) for number in range(5)]
    for token in (*tokens, tokens[0]):
        assert not await _refused(verifier, token)
    assert len(verifier._checked) == 3


@pytest.mark.parametrize("secret", ["", "short", "x" * 31])
def test_a_secret_that_can_be_guessed_is_an_invalid_setting(secret: str) -> None:
    with pytest.raises(ValidationError, match="jwt_secret"):
        _settings(jwt_secret=SecretStr(secret))


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
async def test_a_token_of_the_providers_key_is_taken(provider: IdentityProvider, algorithm: str) -> None:
    provider.add_key("other", algorithm)  # type: ignore[arg-type]
    verifier = TokenVerifier(_settings(provider))
    assert (await verifier.verify(provider.token("other", sub=str(SUBJECT)))).subject == SUBJECT
    assert await _refused(verifier, provider.token("other", aud="anon"))
    assert await _refused(verifier, provider.token("other", exp=int(time.time()) - 60))
    assert await _refused(verifier, provider.token("other")[:-4] + "AAAA")
    assert provider.requests == 1


async def test_a_public_key_is_not_used_as_a_secret(provider: IdentityProvider) -> None:
    """The classic confusion: HS256 with the public key as its secret."""
    provider.add_key("rsa", "RS256")
    provider.entries.append({"kty": "oct", "kid": "oct", "k": base64.urlsafe_b64encode(b"k" * 32).decode()})
    verifier = TokenVerifier(_settings(provider))
    _, private = provider.private["rsa"]
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    content = provider.token("rsa").split(".")[1]
    for kid, secret in (("rsa", pem), ("rsa", json.dumps(provider.entries[1]).encode()), ("oct", b"k" * 32)):
        signing = f"{_part({'alg': 'HS256', 'kid': kid})}.{content}"
        signature = base64.urlsafe_b64encode(hmac.digest(secret, signing.encode(), "sha256"))
        assert await _refused(verifier, f"{signing}.{signature.decode().rstrip('=')}")
    # Nor does a key sign under another key's id.
    assert await _refused(verifier, provider.token("rsa", header={"kid": "first"}))
    assert not await _refused(verifier, provider.token("rsa"))


async def test_keys_for_other_uses_do_not_sign(provider: IdentityProvider) -> None:
    provider.add_key("enc")
    provider.entries[1]["use"] = "enc"
    provider.add_key("weak", "RS256")
    provider.entries[2]["alg"] = "RS512"
    provider.entries += [{"kid": "strange", "kty": "new"}, "nonsense"]  # type: ignore[list-item]
    verifier = TokenVerifier(_settings(provider))
    assert not await _refused(verifier, provider.token("first"))
    assert await _refused(verifier, provider.token("enc"))
    assert await _refused(verifier, provider.token("weak"))


async def test_without_a_secret_only_the_providers_keys_count(provider: IdentityProvider) -> None:
    verifier = TokenVerifier(_settings(provider, jwt_secret=None))
    assert await _refused(verifier, _signed())
    assert not await _refused(verifier, provider.token("first"))


async def test_without_an_address_of_keys_none_is_looked_for(provider: IdentityProvider) -> None:
    assert await _refused(TokenVerifier(_settings()), provider.token("first"))
    assert provider.requests == 0


async def test_a_rotated_key_is_found_and_a_withdrawn_one_forgotten(provider: IdentityProvider) -> None:
    clock = Clock()
    verifier = TokenVerifier(_settings(provider), SigningKeys(provider.url, clock=clock))
    assert not await _refused(verifier, provider.token("first"))
    provider.add_key("second")
    clock.now += COOLDOWN_S + 1
    assert not await _refused(verifier, provider.token("second"))
    assert provider.requests == 2
    provider.withdraw("first")
    assert not await _refused(verifier, provider.token("first"))
    clock.now += 2 * LIFETIME_S + 1  # The request waits for the new keys.
    assert await _refused(verifier, provider.token("first"))
    assert not await _refused(verifier, provider.token("second"))


async def test_unknown_key_ids_cannot_hammer_the_provider(provider: IdentityProvider) -> None:
    clock = Clock()
    verifier = TokenVerifier(_settings(provider), SigningKeys(provider.url, clock=clock))
    good = provider.token("first")
    forged = [provider.token("first", header={"kid": f"made-up-{number}"}) for number in range(50)]
    assert not await _refused(verifier, good)
    assert all(await asyncio.gather(*(_refused(verifier, token) for token in forged)))
    assert provider.requests == 1
    clock.now += COOLDOWN_S + 1
    assert all(await asyncio.gather(*(_refused(verifier, token) for token in forged)))
    assert provider.requests == 2
    assert not await _refused(verifier, good)


async def test_many_first_requests_fetch_once(provider: IdentityProvider) -> None:
    provider.answers.clear()
    verifier = TokenVerifier(_settings(provider))
    asking = [asyncio.create_task(_refused(verifier, provider.token("first"))) for _ in range(20)]
    await until(lambda: provider.requests > 0)
    provider.answers.set()
    assert not any(await asyncio.gather(*asking))
    assert provider.requests == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, None), (200, b"<html>"), (200, b'{"keys": []}'), (200, b"[]"), (200, b"x" * 300_000), (302, None)],
)
async def test_an_outage_keeps_the_keys(
    provider: IdentityProvider, caplog: pytest.LogCaptureFixture, status: int, body: bytes | None
) -> None:
    clock = Clock()
    verifier = TokenVerifier(_settings(provider), SigningKeys(provider.url, clock=clock))
    token = provider.token("first")
    assert not await _refused(verifier, token)
    provider.status, provider.body = status, body
    with caplog.at_level(logging.WARNING):
        for number in range(2, 5):
            clock.now += 2 * LIFETIME_S + 1
            assert not await _refused(verifier, token)
            assert provider.requests == number
    assert "keys cannot be fetched" in caplog.text
    assert token not in caplog.text


async def test_an_unreachable_provider_is_not_an_error_of_the_token(provider: IdentityProvider) -> None:
    provider.status = 503
    clock = Clock()
    verifier = TokenVerifier(_settings(provider), SigningKeys(provider.url, clock=clock))
    token = provider.token("first")
    with pytest.raises(IdentityProviderError):
        await verifier.verify(token)
    provider.status = 200
    clock.now += COOLDOWN_S + 1
    assert not await _refused(verifier, token)


async def test_nobody_waits_for_a_slow_provider_with_a_known_key(provider: IdentityProvider) -> None:
    clock = Clock()
    verifier = TokenVerifier(_settings(provider), SigningKeys(provider.url, clock=clock))
    token = provider.token("first")
    assert not await _refused(verifier, token)
    provider.answers.clear()
    clock.now += LIFETIME_S + 1
    assert not await _refused(verifier, token)
    await until(lambda: provider.requests == 2)


async def test_the_loop_goes_on_while_keys_are_fetched(provider: IdentityProvider) -> None:
    """It is the loop that lets the provider answer."""
    provider.answers.clear()
    verifying = asyncio.create_task(TokenVerifier(_settings(provider)).verify(provider.token("first")))
    await until(lambda: provider.requests == 1)
    provider.answers.set()
    await verifying


@pytest.mark.parametrize(
    ("email", "school"),
    [
        ("ada@mit.edu", "mit.edu"),
        ("Ada@MIT.EDU", "mit.edu"),
        ("student@cs.stanford.edu", "stanford.edu"),
        ("a@x.y.z.uni-1.edu", "uni-1.edu"),
        ("a@evil.edu.com", None),
        ("a@mit.edu.", None),
        ("a@notedu", None),
        ("a@myedu", None),
        ("a@edu", None),
        ("a@.edu", None),
        ("a@mit..edu", None),
        ("@mit.edu", None),
        ("mit.edu", None),
        ("a@evil.com@mit.edu", None),
        ("a@evil.com\n@mit.edu", None),
        ("a@mit.edu\n", None),
        ("a@gmail.com", None),
        ("a@uni.edu.au", "uni.edu.au"),
        ("a@cs.ox.ac.uk", "ox.ac.uk"),
        ("a@edu.au", None),
        ("a@ac.uk", None),
        ("", None),
        (None, None),
    ],
)
def test_the_school_of_an_address(email: str | None, school: str | None) -> None:
    assert school_of(email) == school
