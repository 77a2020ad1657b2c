"""`semblance token` and `semblance keys` as an operator runs them."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from pathlib import Path

import httpx
import jwt
import psycopg
import pytest

from tests.support.api import JWT_SECRET, Api
from tests.support.commands import semblance


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SEMBLANCE_")}
    return kept | {"SEMBLANCE_HOME": str(tmp_path / "home"), "COLUMNS": "80", "NO_COLOR": "1"}


def _run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return semblance(*arguments, environment=environment)


def _token(environment: dict[str, str], *arguments: str) -> str:
    done = _run(environment, "token", "create", *arguments)
    assert done.returncode == 0, done.stderr
    # Nothing else, so a shell can assign it to a variable.
    assert len(done.stdout.split()) == 1
    return done.stdout.strip()


def _claims(token: str, secret: str) -> dict[str, object]:
    return jwt.decode(token, secret, algorithms=["HS256"], audience="authenticated")


def test_a_token_is_signed_with_the_homes_secret(environment: dict[str, str]) -> None:
    first = _token(environment, "--email", "Ada@MIT.edu", "--name", "Ada")
    secret = Path(environment["SEMBLANCE_HOME"], "keys", "jwt_secret").read_text()
    claims = _claims(first, secret)
    assert claims["email"] == "ada@mit.edu"
    assert claims["user_metadata"] == {"name": "Ada"}
    assert claims["exp"] == pytest.approx(time.time() + 24 * 3600, abs=60)

    again = _claims(_token(environment, "--email", "ada@mit.edu", "--hours", "1"), secret)
    assert again["sub"] == claims["sub"]
    assert again["exp"] == pytest.approx(time.time() + 3600, abs=60)
    assert _claims(_token(environment, "--email", "bob@mit.edu"), secret)["sub"] != claims["sub"]
    chosen = str(uuid.uuid4())
    assert _claims(_token(environment, "--email", "ada@mit.edu", "--id", chosen), secret)["sub"] == chosen


def test_settings_win_over_the_home(environment: dict[str, str]) -> None:
    environment |= {"SEMBLANCE_JWT_SECRET": JWT_SECRET, "SEMBLANCE_JWT_ISSUER": "https://here.example"}
    assert _claims(_token(environment, "--email", "ada@mit.edu"), JWT_SECRET)["iss"] == "https://here.example"
    assert not Path(environment["SEMBLANCE_HOME"], "keys", "jwt_secret").exists()


@pytest.mark.parametrize(
    "arguments",
    [(), ("--email", "ada"), ("--email", "@mit.edu"), ("--email", "a@mit.edu", "--hours", "0"),
     ("--email", "a@mit.edu", "--id", "ada")],
)  # fmt: skip
def test_invalid_arguments_are_explained(environment: dict[str, str], arguments: tuple[str, ...]) -> None:
    done = _run(environment, "token", "create", *arguments)
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_that_the_service_will_refuse_is_reported(environment: dict[str, str]) -> None:
    done = _run(environment, "token", "create", "--email", "ada@gmail.com")
    assert done.returncode == 0
    assert "allow_non_edu_emails" in done.stderr


async def test_the_token_signs_its_user_in(api: Api, environment: dict[str, str]) -> None:
    token = _token(
        environment | {"SEMBLANCE_JWT_SECRET": JWT_SECRET}, "--email", "ada@mit.edu", "--name", "Ada"
    )
    answer = await api.client.get("/api/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert (answer.json()["name"], answer.json()["school"]) == ("Ada", "mit.edu")


async def test_a_key_is_made_used_listed_and_revoked(api: Api, environment: dict[str, str]) -> None:
    environment |= {"SEMBLANCE_DATABASE_URL": api.dsn}

    async def compare(key: str) -> httpx.Response:
        vectors = {"embedding_a": [1.0], "embedding_b": [1.0]}
        headers = {"Authorization": f"Bearer {key}"}
        return await api.client.post("/compare-faces", json=vectors, headers=headers)

    made = _run(environment, "keys", "create", "--name", "photo [booth]")
    assert made.returncode == 0, made.stderr
    [key] = made.stdout.split()
    [stored] = await api.services.db.api_keys.all()
    assert str(stored.id) in made.stderr
    assert "never used" in _run(environment, "keys", "list").stdout

    assert (await compare(key)).status_code == 200
    listed = _run(environment, "keys", "list").stdout
    for shown in (str(stored.id), "photo [booth]", stored.prefix, "compute", "used 20"):
        assert shown in listed
    assert key not in listed

    revoked = _run(environment, "keys", "revoke", str(stored.id))
    assert revoked.returncode == 0
    assert "photo [booth]" in revoked.stdout
    assert (await compare(key)).status_code == 401
    assert "revoked 20" in _run(environment, "keys", "list").stdout


def test_an_unknown_key_or_scope_is_explained(environment: dict[str, str], dsn: str) -> None:
    environment |= {"SEMBLANCE_DATABASE_URL": dsn}
    for arguments in (
        ("revoke", str(uuid.uuid4())),
        ("revoke", "booth"),
        ("create",),
        ("create", "--name", " "),
        ("create", "--name", "x", "--scope", "admin"),
    ):
        done = _run(environment, "keys", *arguments)
        assert done.returncode != 0, arguments
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM api_keys").fetchone() == (0,)


def test_keys_of_a_home_without_a_running_stack(environment: dict[str, str]) -> None:
    assert _run(environment, "migrate").returncode == 0
    made = _run(environment, "keys", "create", "--name", "booth", "--scope", "compute")
    assert made.returncode == 0, made.stderr
    assert "booth" in _run(environment, "keys", "list").stdout
    # The server was started for the command and is stopped again.
    assert not list(Path(environment["SEMBLANCE_HOME"]).rglob("postmaster.pid"))
