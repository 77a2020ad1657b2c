"""When a supervisor starts, continues, gives up or ignores a stack. Its parts are stand-ins."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.stack.home import StackHome, StackLock
from ops.stack.ray_head import RayPorts
from ops.stack.state import StackState, left_state
from ops.stack.supervisor import StopRequested, Supervisor, prepare_schema
from semblance.settings import Settings


class Watched(Supervisor):
    """Records the calls. fails: before it was ready, or after."""

    done: list[str]
    fails: str | None = None

    def _repair(self) -> None:
        self.done.append("repair")

    def _start(self) -> StackState:
        if self.fails == "before":
            raise RuntimeError(self.fails)
        self.done.append("start")
        home = self._home
        return StackState(
            home=home.root,
            url="http://127.0.0.1:1",
            docs_url="",
            dashboard_url="",
            database_url="",
            api_key="",
            ray_address="",
            ray_token_file=home.ray_token_file,
            pid=os.getpid(),
            ports={},
        )

    def _publish(self, state: StackState) -> None:
        if self.fails == "after":
            raise RuntimeError(self.fails)

    def _stop(self) -> None:
        self.done.append("stop")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[StackHome]:
    home = StackHome(tmp_path.resolve())
    home.prepare()
    before = signal.getsignal(signal.SIGTERM)
    yield home
    signal.signal(signal.SIGTERM, before)


def supervisor(home: StackHome, *, take_over: bool = False, fails: str | None = None) -> Watched:
    watched = Watched(Settings(home=home.root), None, take_over=take_over)
    watched.done, watched.fails = [], fails
    watched._parts.clear()
    return watched


def test_a_stopped_stack_is_not_taken_over(home: StackHome) -> None:
    watched = supervisor(home, take_over=True)
    assert watched.run() == 0
    assert watched.done == []
    assert not StackLock(home).is_held()


def test_an_unreadable_state_is_replaced(home: StackHome) -> None:
    home.state_file.write_text("{")
    watched = supervisor(home, take_over=True, fails="after")
    assert watched.run() == 1
    assert watched.done == ["repair", "start"]


def test_a_stack_that_is_taken_over_keeps_its_api_key(home: StackHome) -> None:
    """The API does, although the file may be gone."""
    ports = RayPorts.choose("127.0.0.1", 0, 0)
    first = supervisor(home)._state(ports, "")
    home.api_key_file.unlink()
    second = supervisor(home, take_over=True)._state(ports, "", first)
    assert (second.api_key, second.api_key_file) == (first.api_key, home.api_key_file)
    # The next start of the stack makes another.
    assert supervisor(home)._state(ports, "").api_key != first.api_key


@pytest.mark.parametrize(("fails", "done"), [("before", ["repair", "stop"]), ("after", ["repair", "start"])])
def test_a_stack_that_was_ready_is_not_given_up(home: StackHome, fails: str, done: list[str]) -> None:
    watched = supervisor(home, fails=fails)
    assert watched.run() == 1
    assert watched.done == done


def test_a_disk_that_refuses_writes_ends_nothing(home: StackHome, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = supervisor(home)
    beats = 0

    def beat(_lock: StackLock) -> None:
        nonlocal beats
        beats += 1
        if beats > 1:
            raise StopRequested
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(StackLock, "beat", beat)
    monkeypatch.setattr(Watched, "_guard", lambda _: None)
    assert watched.run() == 0
    assert watched.done == ["repair", "start", "stop"]


def test_a_damaged_state_is_written_again(home: StackHome, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[StackState | None] = []
    damage = iter((b"{", b"", None))

    def beat(_lock: StackLock) -> None:
        found.append(left_state(home))
        content = next(damage, b"")
        if len(found) > 3:
            raise StopRequested
        if content is None:
            home.state_file.unlink()
        else:
            home.state_file.write_bytes(content)

    watched = supervisor(home)
    monkeypatch.setattr(Watched, "_publish", Supervisor._publish)
    monkeypatch.setattr(StackLock, "beat", beat)
    monkeypatch.setattr(Watched, "_guard", lambda _: None)
    assert watched.run() == 0
    assert found[0] is not None
    # The first change is that it is guarded.
    assert len(set(map(repr, found[1:]))) == 1
    assert found[1] is not None
    assert found[1].detached


def test_the_applications_login_is_enough_where_the_owner_has_migrated(service_dsn: str) -> None:
    """As in compose.yaml and on Cloud Run, where only a separate step has the owner's."""
    prepare_schema(service_dsn, Settings())
