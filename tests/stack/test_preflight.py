"""Invalid settings are reported all at once, by name and with the fix, before anything starts."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr
from ray.serve.exceptions import RayServeException

from ops.commands.service import doctor
from ops.stack.preflight import CHECKS, preflight
from semblance.errors import ConfigurationError
from semblance.findings import require
from semblance.settings import Settings
from serve_app.app import check_settings
from serve_app.preflight import BEFORE_DEPLOYMENT, BEFORE_SERVING, BEFORE_START
from tests.support.commands import semblance


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that is in use."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_valid_settings_pass(home: Path, service_dsn: str, bucket: str) -> None:
    preflight(Settings(home=home))
    cluster = Settings(
        home=home,
        database_url=SecretStr(service_dsn),
        storage_url=f"{bucket}/pictures",
        api_key=SecretStr("smb_preflight"),
    )
    preflight(cluster)
    require(cluster, BEFORE_DEPLOYMENT)
    require(cluster, BEFORE_SERVING)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (
            {"text_blocked_words": "/nonexistent/words.txt"},
            ["SEMBLANCE_TEXT_BLOCKED_WORDS", "one word a line"],
        ),
        ({"storage_url": "/tmp/pictures"}, ["SEMBLANCE_STORAGE_URL", "file:///folder"]),
        ({"storage_url": "s3:///prefix"}, ["SEMBLANCE_STORAGE_URL", "s3://bucket/prefix"]),
        ({"storage_url": "file:///proc/pictures"}, ["SEMBLANCE_STORAGE_URL", "/proc/pictures"]),
        ({"pack": "no-such-pack"}, ["SEMBLANCE_PACK=no-such-pack", "SEMBLANCE_PACK_DIR"]),
        ({"pack_dir": Path("/nowhere")}, ["SEMBLANCE_PACK_DIR=/nowhere"]),
        ({"host": "192.0.2.1"}, ["SEMBLANCE_HOST=192.0.2.1", "127.0.0.1"]),
        ({"host": "no such host"}, ["SEMBLANCE_HOST"]),
        ({"port": 20999, "dashboard_port": 20999}, ["SEMBLANCE_PORT", "SEMBLANCE_DASHBOARD_PORT"]),
        ({"baby_provider": "fal"}, ["SEMBLANCE_BABY_PROVIDER", "SEMBLANCE_FAL_API_KEY"]),
        ({"database_url": SecretStr("nonsense")}, ["SEMBLANCE_DATABASE_URL", "postgresql://"]),
        (
            {"database_url": SecretStr("postgresql://u:hunter2@127.0.0.1:1/db?connect_timeout=2")},
            ["SEMBLANCE_DATABASE_URL", "refused"],
        ),
        ({"home": Path("/etc/hostname/semblance")}, ["SEMBLANCE_HOME"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_an_invalid_setting_is_named_with_its_fix(
    home: Path, change: dict[str, object], names: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        preflight(Settings.model_validate({"home": home, **change}))
    assert all(name in caught.value.message for name in names), caught.value.message
    assert "hunter2" not in caught.value.message
    assert "Traceback" not in caught.value.message


def test_missing_cuda_is_reported_before_replicas_start(home: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has it")
    with pytest.raises(ConfigurationError, match="SEMBLANCE_EXECUTION_PROVIDER=cpu"):
        preflight(Settings(home=home, execution_provider="cuda"))


def test_a_taken_port_is_named(home: Path, taken: int) -> None:
    with pytest.raises(ConfigurationError, match=f"SEMBLANCE_PORT={taken} is taken"):
        preflight(Settings(home=home, port=taken))


def test_a_read_only_database_is_reported(home: Path, dsn: str) -> None:
    closed = SecretStr(f"{dsn}&options=-c%20default_transaction_read_only%3Don")
    with pytest.raises(ConfigurationError, match=r"SEMBLANCE_OWNER_DATABASE_URL.*read-only"):
        preflight(Settings(home=home, database_url=SecretStr(dsn), owner_database_url=closed))


def test_an_unwritable_store_is_reported(
    home: Path, tmp_path: Path, close_disk: Callable[[Path], Callable[[], None]]
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    close_disk(pictures)
    with pytest.raises(ConfigurationError, match=r"SEMBLANCE_STORAGE_URL.*(Read-only|denied)"):
        preflight(Settings(home=home, storage_url=pictures.as_uri()))


def test_a_missing_bucket_is_reported(home: Path, bucket: str) -> None:
    with pytest.raises(ConfigurationError, match="SEMBLANCE_STORAGE_URL"):
        preflight(Settings(home=home, storage_url=f"{bucket}-not"))


def test_nothing_is_left_behind(home: Path, service_dsn: str) -> None:
    preflight(Settings(home=home, database_url=SecretStr(service_dsn)))
    assert [path for path in (home / "objects").rglob("*") if path.is_file()] == []
    with psycopg.connect(service_dsn) as connection:
        assert connection.execute("SELECT count(*) FROM profiles").fetchone() == (0,)


def test_on_a_cluster_nothing_is_created(home: Path, empty_dsn: str, dsn: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        require(Settings(home=home), BEFORE_DEPLOYMENT)
    assert "SEMBLANCE_DATABASE_URL" in caught.value.message
    assert "SEMBLANCE_API_KEY" in caught.value.message
    with pytest.raises(ConfigurationError, match="semblance migrate"):
        require(Settings(home=home, database_url=SecretStr(empty_dsn)), BEFORE_DEPLOYMENT)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE without_rights LOGIN")
        try:
            powerless = SecretStr(dsn.replace("//postgres@", "//without_rights@"))
            with pytest.raises(ConfigurationError, match="GRANT semblance_service TO without_rights"):
                require(Settings(home=home, database_url=powerless), BEFORE_DEPLOYMENT)
        finally:
            connection.execute("DROP ROLE without_rights")


def test_serve_shows_a_sentence(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """It shows the text of a RayServeException, and the traceback of any other exception."""
    monkeypatch.setenv("SEMBLANCE_HOME", str(home))
    monkeypatch.setenv("SEMBLANCE_STORAGE_URL", "/tmp/pictures")
    with pytest.raises(RayServeException) as caught:
        check_settings()
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert all(line.startswith("SEMBLANCE_") for line in lines)


def test_doctor_and_start_make_the_same_checks() -> None:
    for check in {*CHECKS, *BEFORE_START} - {*doctor.CHECKS}:
        # Doctor has further checks, for the embedded server.
        assert check.__name__ == "check_database"


def test_up_reports_all_problems_and_starts_nothing(tmp_path: Path, taken: int) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SEMBLANCE_", "RAY_"))}
    home = tmp_path / "home"
    wrong = {
        "SEMBLANCE_HOME": str(home),
        "SEMBLANCE_STORAGE_URL": "/tmp/pictures",
        "SEMBLANCE_PACK": "no-such-pack",
        "SEMBLANCE_PORT": str(taken),
        "SEMBLANCE_DATABASE_URL": "postgresql://u:hunt@er2@h/db",
    }
    done = semblance("up", "--detach", environment={**kept, **wrong, "COLUMNS": "200"})
    assert done.returncode == 1
    assert all(name in done.stderr for name in wrong if name != "SEMBLANCE_HOME"), done.stderr
    assert "Traceback" not in (home / "logs" / "supervisor.log").read_text()
    assert "er2" not in done.stderr
    assert not list((home / "ray" / "sessions").iterdir())
    assert not (home / "postgres").exists()
    status = semblance("status", "--json", environment={**kept, "SEMBLANCE_HOME": str(home)})
    assert json.loads(status.stdout)["ready"] is False
