"""The output about a running stack contains no password of a database."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from ops.commands import output
from ops.commands.app import app
from ops.stack.home import StackHome, StackLock
from ops.stack.state import StackState, write_state
from tests.support.http_server import QuietHandler, serving

DSN = "postgresql://app:hunter2@db.example/semblance?sslpassword=hunter3"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StackState]:
    """A stack as its state file describes it; its supervisor is this process."""
    monkeypatch.setenv("SEMBLANCE_HOME", str(tmp_path))
    monkeypatch.delenv("SEMBLANCE_DATABASE_URL", raising=False)
    home = StackHome(tmp_path.resolve())
    home.prepare()
    home.ray_token()
    running = StackState(
        home=home.root,
        url="http://127.0.0.1:1",
        docs_url="http://127.0.0.1:1/docs",
        dashboard_url="http://127.0.0.1:1",
        database_url=DSN,
        api_key="smb_of_the_test",
        ray_address="127.0.0.1:1",
        ray_token_file=home.ray_token_file,
        pid=os.getpid(),
        ports={},
    )
    lock = StackLock(home)
    assert lock.acquire()
    write_state(home, running)
    yield running
    lock.release()


def test_the_panel(state: StackState, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(output, "console", Console(file=shown, width=200))
    output.print_state(state, title="Ready")
    assert "postgresql://app:***@db.example/semblance?sslpassword=***" in shown.getvalue()
    assert "hunter" not in shown.getvalue()


def test_secrets_are_for_terminals(state: StackState, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = (state.api_key, state.ray_token_file.read_text().strip())

    def shown(*, terminal: bool) -> str:
        console = Console(file=io.StringIO(), width=300, force_terminal=terminal, no_color=True)
        monkeypatch.setattr(output, "console", console)
        output.print_state(state, title="Ready")
        output.print_curl(state, "photo.jpg")
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    assert all(secret in shown(terminal=True) for secret in secrets)
    journal = shown(terminal=False)
    assert not any(secret in journal for secret in secrets)
    assert str(state.ray_token_file) in journal
    assert "SEMBLANCE_API_KEY" in journal
    generated = StackHome(state.home).keys / "api_key"
    generated.write_text(state.api_key)
    assert str(generated) in shown(terminal=False)


@pytest.mark.parametrize("change", [lambda file: file.unlink(), lambda file: file.write_text("smb_another")])
def test_a_key_whose_file_has_changed_since_is_not_said_to_be_in_it(
    state: StackState, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
) -> None:
    """Nor in a setting: the service goes on with the key that it was started with."""
    home = StackHome(state.home)
    running = state.model_copy(update={"api_key": home.api_key(), "api_key_file": home.api_key_file})

    def place() -> str:
        console = Console(file=io.StringIO(), width=300)
        monkeypatch.setattr(output, "console", console)
        output.print_state(running, title="Ready")
        assert isinstance(console.file, io.StringIO)
        [line] = [line for line in console.file.getvalue().splitlines() if line.startswith("API key")]
        return line.removeprefix("API key").strip()

    assert place() == f"in {home.api_key_file}"
    change(home.api_key_file)
    assert place() == f"was in {home.api_key_file}, which has changed since; `semblance env` prints it"


def test_what_the_service_says_is_told_although_the_supervisor_could_not_write_it_down(
    state: StackState,
) -> None:
    """Its disk may be full, which is the problem."""

    class NotReady(QuietHandler):
        def do_GET(self) -> None:
            self.reply(503, b'{"checks": {"database": "ok", "storage": "failed: The store is full."}}')

    with serving(NotReady) as url:
        write_state(StackHome(state.home), state.model_copy(update={"url": url}))
        done = CliRunner().invoke(app, ["status", "--json"])
        doctor = CliRunner().invoke(app, ["doctor"])
    told = json.loads(done.stdout)
    assert (told["ready"], done.exit_code) == (False, 3)
    assert [(each["part"], each["text"]) for each in told["problems"]] == [
        ("Service", "storage: The store is full.")
    ]
    assert "storage: The store is full." in doctor.output
    assert "all its parts answer" not in doctor.output


def test_json_for_scripts_holds_no_password(state: StackState) -> None:
    done = CliRunner().invoke(app, ["status", "--json"])
    printed = json.loads(done.stdout)
    assert printed["database_url"] == "postgresql://app:***@db.example/semblance?sslpassword=***"
    assert printed["api_key"] == state.api_key
    assert "hunter" not in done.output


def test_text_and_shell_output(state: StackState) -> None:
    for command in (["status"], ["env"]):
        assert "hunter" not in CliRunner().invoke(app, command).output
    assert "export RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE=1" in CliRunner().invoke(app, ["env"]).output
