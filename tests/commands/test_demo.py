"""The last words of the demo are true."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ops.commands import output
from ops.commands.service import demo
from ops.stack.state import StackState
from semblance.settings import Settings


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    text = io.StringIO()
    console = Console(file=text, width=200)
    monkeypatch.setattr(demo, "console", console)
    monkeypatch.setattr(output, "console", console)
    return text


@pytest.mark.parametrize(("started_here", "stays"), [(True, False), (False, True)])
def test_no_command_is_suggested_for_a_stack_that_ends(
    monkeypatch: pytest.MonkeyPatch, shown: io.StringIO, tmp_path: Path, started_here: bool, stays: bool
) -> None:
    token = tmp_path / "token"
    token.write_text("token")
    state = StackState(
        home=tmp_path,
        url="http://127.0.0.1:1",
        docs_url="http://127.0.0.1:1/docs",
        dashboard_url="http://127.0.0.1:1",
        database_url="postgresql://u@h/db",
        api_key="smb_of_the_test",
        ray_address="127.0.0.1:1",
        ray_token_file=token,
        pid=1,
        ports={},
    )

    @contextmanager
    def running(*_: object) -> Iterator[tuple[StackState, Any]]:
        yield state, object() if started_here else None

    # Other tests start the stack itself.
    monkeypatch.setattr(demo, "running_stack", running)
    monkeypatch.setattr(demo, "_ingest", lambda *_: "")
    monkeypatch.setattr(demo, "_show_lookalikes", lambda *_: True)
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"")
    assert demo.run_demo(Settings(home=tmp_path), gallery=tmp_path, probe=photo, once=True)
    assert ("curl" in shown.getvalue()) is stays
    assert ("semblance up --detach" in shown.getvalue()) is not stays
