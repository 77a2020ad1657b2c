from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ops.stack.home import StackHome, StackLock
from ops.stack.state import StackState, left_state, read_state, what_is_wrong, write_state
from semblance.errors import ConfigurationError
from semblance.running import running_database
from semblance.settings import Settings
from tests.support.waiting import PATIENCE_S


@pytest.fixture
def home(tmp_path: Path) -> StackHome:
    home = StackHome.of(Settings(home=tmp_path / "home"))
    home.prepare()
    return home


def test_home_names_its_stack_by_the_real_path(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "home")
    one, other = (
        StackHome.of(Settings(home=tmp_path / "home")),
        StackHome.of(Settings(home=tmp_path / "link")),
    )
    assert one.stack_id == other.stack_id
    assert one.stack_id != StackHome.of(Settings(home=tmp_path / "elsewhere")).stack_id


def test_folders_are_closed_to_others(home: StackHome) -> None:
    for folder in (home.root, home.keys, home.logs, home.ray, home.objects):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_home_that_cannot_be_created_names_the_fix(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="SEMBLANCE_HOME"):
        StackHome(tmp_path / "file" / "home").prepare()


def test_a_home_in_a_folder_that_is_gone_names_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigurationError, match="SEMBLANCE_HOME"):
        StackHome.of(Settings(home=Path("home")))


@pytest.mark.parametrize("closed", ["root", "lock_file"])
def test_a_home_of_another_user_is_not_taken_for_an_empty_one(
    home: StackHome, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    home.lock_file.touch()
    # Root, who may run the tests, can read everything.
    monkeypatch.setattr(os, "access", lambda path, _: path != getattr(home, closed))
    with pytest.raises(ConfigurationError, match="closed to you"):
        StackHome.of(Settings(home=home.root))


def test_a_home_that_no_text_can_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        StackHome.of(Settings(home=tmp_path / "\udcff"))


def test_secrets_are_made_once_and_private(home: StackHome) -> None:
    key = home.api_key()
    assert len(key) >= 32
    assert home.api_key() == key
    assert home.ray_token() not in {key, ""}
    assert {stat.S_IMODE(file.stat().st_mode) for file in home.keys.iterdir()} == {0o600}


def test_the_short_link_leads_to_the_sessions(home: StackHome) -> None:
    assert home.link_ray().resolve() == home.ray_sessions
    assert home.link_ray().resolve() == home.ray_sessions
    home.unlink_ray()
    assert not home.short_ray.is_symlink()


@pytest.mark.parametrize("folder", ["with space", "Ördner", "a'b", "$HOME"])
def test_the_environment_has_a_name_that_no_shell_changes(
    home: StackHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    (tmp_path / folder).symlink_to(Path(sys.executable).parent.parent)
    monkeypatch.setattr(sys, "executable", str(tmp_path / folder / "bin" / "python"))
    try:
        python = str(home.link_environment() / "python")
        assert str(home.link_environment() / "python") == python == shlex.quote(python)
        shown = "import sys, numpy; print(sys.prefix)"
        done = subprocess.run([python, "-c", shown], capture_output=True, text=True, check=True)
        assert Path(done.stdout.strip()).samefile(sys.prefix)
    finally:
        home.unlink_ray()


@pytest.mark.parametrize("squatter", ["folder", "link"])
def test_a_squatter_at_the_short_link_is_refused(home: StackHome, tmp_path: Path, squatter: str) -> None:
    if squatter == "folder":
        home.short_ray.mkdir()
    else:
        home.short_ray.symlink_to(tmp_path)
    try:
        with pytest.raises(ConfigurationError, match="in the way"):
            home.link_ray()
    finally:
        home.short_ray.unlink() if squatter == "link" else home.short_ray.rmdir()


def test_the_lock_is_held_once_and_freed_by_the_kernel(home: StackHome) -> None:
    hold = (
        "import sys, time; from pathlib import Path; from ops.stack.home import StackHome, StackLock\n"
        "lock = StackLock(StackHome(Path(sys.argv[1]))); print(lock.acquire(), flush=True); time.sleep(60)"
    )
    lock = StackLock(home)
    assert lock.holder() is None
    with subprocess.Popen(
        [sys.executable, "-c", hold, home.root], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert lock.holder() == other.pid
        assert not lock.acquire()
        other.kill()
    assert lock.holder() is None
    assert lock.acquire()
    assert StackLock(home).holder() == os.getpid()
    lock.release()


def test_asking_for_the_holder_blocks_nobody(home: StackHome) -> None:
    """It blocks neither another query nor a process that takes the lock meanwhile."""
    ask = (
        "import sys; from pathlib import Path; from ops.stack.home import StackHome, StackLock\n"
        "lock = StackLock(StackHome(Path(sys.argv[1]))); print(flush=True)\n"
        "while lock.holder() is None: pass"
    )
    lock = StackLock(home)
    assert lock.acquire()
    lock.release()
    with subprocess.Popen(
        [sys.executable, "-c", ask, home.root], stdout=subprocess.PIPE, text=True
    ) as asking:
        assert asking.stdout is not None
        asking.stdout.readline()
        for _ in range(200):
            assert StackLock(home).holder() is None
        assert lock.acquire()
        assert asking.wait(PATIENCE_S) == 0
    lock.release()


@pytest.mark.parametrize("content", [b"", b"\n", b"short", b"\x00" * 40, b"\xff\xfe" * 40])
def test_a_key_file_that_a_crash_left_empty_is_refused_by_name(home: StackHome, content: bytes) -> None:
    file = home.keys / "api_key"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"keys/api_key.*") as refused:
        home.api_key()
    assert "remove the file" in refused.value.message or "Cannot read" in refused.value.message
    assert file.read_bytes() == content


def test_what_is_no_file_is_refused_by_name_instead_of_waited_for(home: StackHome) -> None:
    os.mkfifo(home.keys / "api_key")
    os.mkfifo(home.state_file)
    with pytest.raises(ConfigurationError, match=r"keys/api_key: .*Not a regular file"):
        home.api_key()
    assert left_state(home) is None
    assert running_database(home.root) is None


def test_a_state_lives_as_long_as_its_supervisor_despite_clock_changes(
    home: StackHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Start times change with the clock, so they must not decide."""
    state = StackState(
        home=home.root,
        url="http://127.0.0.1:1",
        docs_url="http://127.0.0.1:1/docs",
        dashboard_url="http://127.0.0.1:2",
        database_url="postgresql://x@/y",
        api_key="key",
        ray_address="127.0.0.1:3",
        ray_token_file=home.ray_token_file,
        pid=os.getpid(),
        ports={},
    )
    write_state(home, state)
    assert read_state(home) is None
    (dead,) = what_is_wrong(home)
    assert (dead.part, "semblance up" in dead.text) == ("Supervisor", True)
    lock = StackLock(home)
    assert lock.acquire()
    try:
        monkeypatch.setattr(time, "time", lambda: 1e9)
        monkeypatch.setattr(psutil, "boot_time", lambda: 1e9)
        monkeypatch.setattr(psutil.Process, "create_time", lambda _: 1e9)
        assert read_state(home) == state
        assert what_is_wrong(home) == ()
        # Of a supervisor before this one, which a full disk keeps from writing its own.
        write_state(home, state.model_copy(update={"pid": os.getppid()}))
        assert read_state(home) is None
        (unwritten,) = what_is_wrong(home)
        assert (unwritten.part, "is the disk full?" in unwritten.text) == ("Supervisor", True)
    finally:
        lock.release()
