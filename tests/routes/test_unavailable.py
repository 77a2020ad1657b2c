"""A read-only part is reported as such, by `/ready` too; no answer shows details that are for operators."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from db.dsn import parse_dsn
from semblance import errors
from semblance.errors import (
    BabyProviderError,
    OverloadedError,
    SemblanceError,
    ServiceNotReadyError,
    StorageFullError,
    StorageReadOnlyError,
)
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.storage.store import Storage
from serve_app.api import photos
from serve_app.api.errors import install_error_handlers, status_of
from serve_app.api.middleware import UnexpectedErrorMiddleware
from serve_app.api.readiness import StoreProbe
from tests.support.api import API_KEY, CRON_SECRET, JWT_SECRET, Api, User
from tests.support.laden import portrait
from tests.support.photos import encoded

SECRET = "at /srv/pictures/faces and postgresql://app:hunter2@10.1.2.3/semblance"

CLASSES = [
    value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, SemblanceError)
]


@pytest.fixture(scope="module")
def photo() -> bytes:
    return encoded(portrait())


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where the pictures are; override it to put them elsewhere."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder


@pytest.fixture
def api_settings(service_dsn: str, tmp_path: Path, pictures: Path) -> Settings:
    return Settings(
        home=tmp_path / "home",
        storage_url=pictures.as_uri(),
        database_url=SecretStr(service_dsn),
        api_key=SecretStr(API_KEY),
        cron_secret=SecretStr(CRON_SECRET),
        jwt_secret=SecretStr(JWT_SECRET),
        database_pool_size=4,
    )


@pytest.fixture
def read_only(dsn: str) -> Iterator[None]:
    """Close the database to writes for new sessions, and end the old ones, as an operator would."""
    name = dsn.partition("@/")[2].partition("?")[0]
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        yield


async def upload(api: Api, user: User, photo: bytes) -> httpx.Response:
    return await api.client.post("/api/faces", headers=user.headers, files={"file": photo})


async def ready(api: Api) -> httpx.Response:
    api.app.state.store_probe = StoreProbe(api.services.storage)
    return await api.client.get("/ready")


def replace_by_file(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.write_text("in the way")


def assert_unavailable(answer: httpx.Response, code: str) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.json()["code"] == code
    assert int(answer.headers["Retry-After"]) > 0


async def test_a_read_only_database_is_reported(
    api: Api, photo: bytes, request: pytest.FixtureRequest
) -> None:
    user = await api.member("ada")
    request.getfixturevalue("read_only")
    # The pool discovers that its connections are gone.
    for _ in range(6):
        await api.client.get("/ready")
    assert_unavailable(await upload(api, user, photo), "database_read_only")
    # A new user would get a profile.
    assert_unavailable(await upload(api, api.user(), photo), "database_read_only")
    assert (await api.client.get("/api/matches/top")).status_code == 200
    answer = await ready(api)
    assert_unavailable(answer, "not_ready")
    assert "read-only" in answer.json()["checks"]["database"]
    assert answer.json()["checks"]["storage"] == "ok"


async def test_a_read_only_store_is_reported_and_recovers(
    api: Api, photo: bytes, pictures: Path, close_disk: Callable[[Path], Callable[[], None]]
) -> None:
    user = await api.member("ada")
    assert (await ready(api)).json()["checks"]["storage"] == "ok"
    reopen = close_disk(pictures)
    answer = await upload(api, user, photo)
    assert_unavailable(answer, "storage_read_only")
    assert str(pictures) not in answer.text
    answer = await ready(api)
    assert_unavailable(answer, "not_ready")
    assert "read-only" in answer.json()["checks"]["storage"]
    assert str(pictures) not in answer.text
    reopen()
    assert (await ready(api)).status_code == 200
    assert (await upload(api, user, photo)).status_code == 202


class TestFull:
    @pytest.fixture
    def pictures(self, small_disk: Path) -> Path:
        return small_disk

    async def test_a_full_store_is_reported_and_recovers(
        self, api: Api, photo: bytes, pictures: Path
    ) -> None:
        user = await api.member("ada")
        ballast = pictures / "ballast"
        ballast.write_bytes(b"x" * (500 * 1024))
        answer = await upload(api, user, photo)
        assert_unavailable(answer, "storage_full")
        assert str(pictures) not in answer.text
        answer = await ready(api)
        assert_unavailable(answer, "not_ready")
        assert "full" in answer.json()["checks"]["storage"]
        ballast.unlink()
        assert (await ready(api)).status_code == 200
        assert (await upload(api, user, photo)).status_code == 202


@pytest.mark.parametrize("size", [520_000, 516_196])
async def test_no_room_to_receive_a_photo_is_reported_and_passes(
    api: Api, photo: bytes, small_disk: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Whether the disk is full at a part, or only when what is buffered is written at the end."""
    user = await api.member("ada")
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    part = 4096
    monkeypatch.setattr(photos, "IN_MEMORY", part)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 8192)

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, size, part):
            yield bytes(min(part, size - start))

    kind = {"Content-Type": "image/jpeg"}
    answer = await api.client.post("/api/faces", content=parts(), headers={**user.headers, **kind})
    assert_unavailable(answer, "overloaded")
    assert str(small_disk) not in answer.text
    ballast.unlink()
    assert (await upload(api, user, photo)).status_code == 202


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Generic S3 error: Server returned non-2xx status code: 507 Insufficient Storage", StorageFullError),
        ("Generic S3 error: <Code>XMinioStorageFull</Code>", StorageFullError),
        ("Generic LocalFileSystem error: x: Disk quota exceeded (os error 122)", StorageFullError),
        ("Generic LocalFileSystem error: x: Permission denied (os error 13)", StorageReadOnlyError),
        ("Generic LocalFileSystem error: x: Not a directory (os error 20)", errors.StorageError),
    ],
)
def test_what_stores_say(text: str, expected: type[SemblanceError]) -> None:
    from semblance.storage.failures import failure

    assert failure(OSError(text)) is expected


class CountingStorage:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.probes = 0

    async def probe(self) -> None:
        self.probes += 1
        await self._storage.probe()


async def test_asking_often_does_not_load_the_store(tmp_path: Path) -> None:
    counting = CountingStorage(open_storage(Settings(home=tmp_path)))
    probe = StoreProbe(counting)  # type: ignore[arg-type]
    for _ in range(3):
        assert set(await asyncio.gather(*(probe.check() for _ in range(50)))) == {"ok"}
    assert counting.probes == 1
    assert not list((tmp_path / "objects").rglob("*.*"))
    fresh = StoreProbe(counting, every=0.0)  # type: ignore[arg-type]
    await fresh.check()
    await fresh.check()
    assert counting.probes == 3


@pytest.mark.parametrize(
    "cls", [cls for cls in CLASSES if cls.public is not None], ids=lambda cls: cls.__name__
)
async def test_no_answer_shows_details_for_operators(cls: type[SemblanceError]) -> None:
    app = FastAPI()
    app.add_middleware(UnexpectedErrorMiddleware)
    install_error_handlers(app)

    @app.get("/")
    async def fail() -> None:
        raise cls(SECRET)

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        answer = await client.get("/")
    assert answer.status_code == status_of(cls(SECRET))
    assert not any(part in answer.text for part in ("/srv", "hunter2", "10.1.2.3"))
    assert answer.json()["error"] == cls.public


def test_messages_that_clients_read_are_few() -> None:
    """The messages of each class here were reviewed for this."""
    told = {cls for cls in CLASSES if cls.public is None and not issubclass(cls, errors.RequestError)}
    assert told == {
        errors.TryLaterError,
        errors.TooManyConnectionsError,
        errors.BusyClientError,
        OverloadedError,
        errors.NotReadyError,
        ServiceNotReadyError,
        errors.IdentityProviderError,
        BabyProviderError,
        errors.TextProviderBusyError,
    }


async def test_a_broken_store_is_not_described_to_clients(
    api: Api, photo: bytes, pictures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    user = await api.member("ada")
    await asyncio.to_thread(replace_by_file, pictures)
    answer = await upload(api, user, photo)
    assert_unavailable(answer, "storage")
    assert str(pictures) not in answer.text
    # The operator finds it.
    assert str(pictures) in caplog.text


async def test_a_lost_database_is_not_described_to_clients(api: Api, dsn: str) -> None:
    await api.services.database.close()
    answer = await api.client.get("/api/matches/top")
    assert_unavailable(answer, "database")
    for host in parse_dsn(dsn).hosts:
        assert host not in answer.text
