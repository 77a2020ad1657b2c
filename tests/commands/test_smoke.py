"""`semblance smoke` on the API in this process: its steps, its findings, and what remains."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from ops.commands.app import app
from ops.commands.service.smoke import Smoke, StepOutcome, _unique
from semblance.settings import Settings
from tests.support.api import Api, User
from tests.support.photos import ASTRONAUT
from tests.support.realtime import notify, serving
from tests.support.waiting import PATIENCE_S

STEPS = ["Service", "Sign in", "Profiles", "Upload", "Match", "Like", "Chat", "Baby picture", "Clean up"]
TABLES = ("faces", "matches", "match_jobs", "reactions", "mutual_connections", "messages", "babies")


@pytest.fixture(scope="module")
def picture() -> bytes:
    return _unique(ASTRONAUT.read_bytes())


@pytest.fixture(params=[None, "2025"])
def api_settings(api_settings: Settings, request: pytest.FixtureRequest) -> Settings:
    return api_settings.model_copy(update={"compat": request.param})


plain_only = pytest.mark.parametrize("api_settings", [None], indirect=True)


@asynccontextmanager
async def matching(api: Api) -> AsyncIterator[None]:
    """Match jobs are done meanwhile, as by the matcher."""

    async def work() -> None:
        while True:
            await api.services.matcher.process(10)
            await asyncio.sleep(0.02)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def smoke(
    api: Api,
    ada: User,
    bob: User,
    picture: bytes,
    *,
    patience: float = PATIENCE_S,
    lose: str = "",
) -> dict[str, StepOutcome]:
    """Run it in another thread; the outcome of each step. lose: the path of a POST whose answer is lost."""
    tokens = [user.headers["Authorization"].removeprefix("Bearer ") for user in (ada, bob)]

    def losing(response: httpx.Response) -> None:
        if (response.request.method, response.request.url.path) == ("POST", lose):
            raise httpx.ReadTimeout("lost")

    async with serving(api.app) as server:
        with httpx.Client(
            base_url=server.http, timeout=PATIENCE_S, event_hooks={"response": [losing]}
        ) as client:
            run = Smoke(client, (tokens[0], tokens[1]), picture, patience).run
            outcomes = await asyncio.to_thread(run)
    assert [outcome.step for outcome in outcomes] == STEPS
    return {outcome.step: outcome for outcome in outcomes}


async def profiles(api: Api) -> dict[object, tuple[object, ...]]:
    rows = await api.owner.fetch("SELECT id, gender, school, default_face_id FROM profiles")
    return {row["id"]: tuple(row) for row in rows}


async def assert_nothing_is_left(api: Api, before: dict[object, tuple[object, ...]]) -> None:
    assert await profiles(api) == before
    for table in TABLES:
        assert await api.owner.fetchval(f"SELECT count(*) FROM {table}") == 0, table
    assert await api.owner.fetchval("SELECT count(*) FROM notifications") == 1
    files = [path for path in (api.services.settings.home / "objects").rglob("*") if path.is_file()]
    assert files == []


@pytest.fixture
async def pair(api: Api) -> tuple[User, User]:
    """Two of different schools and one gender, who would not match; one has a notification."""
    ada = await api.member("ada", school="mit", gender="other")
    bob = await api.member("bob", school="cmu", gender="other")
    await notify(api.owner, ada.id)
    return ada, bob


async def test_a_service_that_works(api: Api, pair: tuple[User, User], picture: bytes) -> None:
    before = await profiles(api)
    async with matching(api):
        outcomes = await smoke(api, *pair, picture)
    assert {outcome.result for outcome in outcomes.values()} == {"ok"}, outcomes
    assert all(outcome.seconds is not None for outcome in outcomes.values())
    await assert_nothing_is_left(api, before)
    # A second time, with the same photo.
    async with matching(api):
        assert (await smoke(api, *pair, picture))["Clean up"].result == "ok"


@plain_only
async def test_a_failed_step_ends_it_and_is_cleaned_up(
    api: Api, pair: tuple[User, User], picture: bytes
) -> None:
    before = await profiles(api)
    await api.owner.execute(
        "UPDATE system_settings SET value = '0' WHERE key = 'daily_baby_generation_limit'"
    )
    async with matching(api):
        outcomes = await smoke(api, *pair, picture)
    assert outcomes["Chat"].result == "ok"
    assert outcomes["Baby picture"].result == "failed"
    assert "POST /api/baby: 429" in outcomes["Baby picture"].text
    assert outcomes["Clean up"].result == "ok"
    await assert_nothing_is_left(api, before)


@plain_only
async def test_a_stopped_matcher_is_detected(api: Api, pair: tuple[User, User], picture: bytes) -> None:
    before = await profiles(api)
    outcomes = await smoke(api, *pair, picture, patience=0)
    assert outcomes["Upload"].result == "failed"
    assert "still pending" in outcomes["Upload"].text
    assert [outcomes[name].result for name in STEPS[4:]] == ["skipped"] * 4 + ["ok"]
    await assert_nothing_is_left(api, before)


@plain_only
async def test_an_upload_whose_answer_is_lost_is_cleaned_up(
    api: Api, pair: tuple[User, User], picture: bytes
) -> None:
    before = await profiles(api)
    outcomes = await smoke(api, *pair, picture, lose="/api/faces")
    assert outcomes["Upload"].text == "The service cannot be reached: lost."
    assert outcomes["Clean up"].result == "ok"
    await assert_nothing_is_left(api, before)


@plain_only
async def test_earlier_data_of_the_accounts_is_kept(
    api: Api, pair: tuple[User, User], picture: bytes
) -> None:
    ada, _ = pair
    [face] = await api.owner.fetch(
        "INSERT INTO faces (profile_id, image_path) VALUES ($1, 'faces/own.jpg') RETURNING id", ada.id
    )
    await api.owner.execute("UPDATE profiles SET default_face_id = $2 WHERE id = $1", ada.id, face["id"])
    await api.owner.execute("DELETE FROM match_jobs")
    before = await profiles(api)
    async with matching(api):
        outcomes = await smoke(api, *pair, picture)
    assert {outcome.result for outcome in outcomes.values()} == {"ok"}, outcomes
    assert await profiles(api) == before
    assert [row["id"] for row in await api.owner.fetch("SELECT id FROM faces")] == [face["id"]]


@plain_only
async def test_two_tokens_of_one_user_are_refused(api: Api, pair: tuple[User, User], picture: bytes) -> None:
    ada, _ = pair
    before = await profiles(api)
    outcomes = await smoke(api, ada, ada, picture)
    assert outcomes["Sign in"].result == "failed"
    assert "same user" in outcomes["Sign in"].text
    await assert_nothing_is_left(api, before)


@plain_only
async def test_a_refused_token_is_reported(api: Api, pair: tuple[User, User], picture: bytes) -> None:
    ada, bob = pair
    stranger = User(bob.id, bob.email, {"Authorization": "Bearer a.b.c"})
    outcomes = await smoke(api, ada, stranger, picture)
    assert "GET /api/auth/me: 401" in outcomes["Sign in"].text
    assert "a.b.c" not in outcomes["Sign in"].text


@pytest.mark.parametrize("body", [b"", b"hi", b"[]", b"{}", b"null", b'{"error": 7}'])
@pytest.mark.parametrize("status", [200, 202, 404, 503])
def test_any_unexpected_answer_is_a_failed_step_without_a_traceback(status: int, body: bytes) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=body))
    with httpx.Client(base_url="http://x", transport=transport) as client:
        outcomes = Smoke(client, ("a", "b"), b"", 1).run()
    assert outcomes[0].result == "failed"
    assert outcomes[0].text


def test_the_command_prints_its_findings_but_no_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SEMBLANCE_SMOKE_TOKEN", "s3cret.of.ada")
    monkeypatch.setenv("SEMBLANCE_SMOKE_OTHER_TOKEN", "s3cret.of.bob")
    done = CliRunner().invoke(app, ["smoke", "http://127.0.0.1:1"])
    assert done.exit_code == 1
    assert "cannot be reached" in done.output
    assert all(step in done.output for step in STEPS)
    assert "s3cret" not in done.output
    for arguments in (
        ["http://127.0.0.1:1", "--photo", str(tmp_path / "none.jpg")],
        ["http://127.0.0.1:1", "--token", "s3cret of\nada"],
    ):
        done = CliRunner().invoke(app, ["smoke", *arguments])
        assert done.exit_code == 1
        assert "s3cret" not in f"{done.output}{done.exception}"
    monkeypatch.delenv("SEMBLANCE_SMOKE_OTHER_TOKEN")
    assert CliRunner().invoke(app, ["smoke", "http://127.0.0.1:1"]).exit_code == 2


def test_a_photo_is_a_different_file_each_time() -> None:
    jpeg = _unique(ASTRONAUT.read_bytes())
    assert jpeg.startswith(b"\xff\xd8\xff\xfe")
    again = _unique(jpeg)
    assert again != jpeg
    assert len(again) == len(jpeg) + 20
    # The service may read what cannot be read here.
    assert _unique(b"heic") == b"heic"
