"""Every command that changes something leaves a record of it in the audit log."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer
from psycopg.rows import dict_row
from typer.core import TyperGroup
from typer.testing import CliRunner

import ops.commands.ray_jobs.jobs
from ops.commands.app import app
from semblance.actor import actor_var

TESTS = Path(__file__).parent.parent

ELSEWHERE = {
    "gallery export": ("gallery.export", "routes/test_gallery_export.py"),
    "ingest": ("ray_job.start", "batch/test_record.py"),
    "migrate": ("schema.migrate", "db/test_migrations.py"),
    "rescore": ("rescoring.start", "commands/test_rescore.py"),
    "storage clean": ("pictures.clean", "storage/test_clean.py"),
    "storage copy": ("pictures.copy", "storage/test_copy_pictures.py"),
    "texts embed": ("text_vectors.embed", "commands/test_texts.py"),
    "texts retire": ("text_vectors.retire", "commands/test_texts.py"),
}
"""Commands whose record is looked at by the test of what they do: the action, and the file."""

CHANGE_NOTHING = {
    "admins list": "reads",
    "backup": "reads",
    "demo": "is `up` and `ingest`",
    "doctor": "reads; what it stores it removes",
    "down": "stops processes",
    "env": "reads",
    "gateway": "runs a process",
    "jobs follow": "reads",
    "jobs list": "reads",
    "jobs queues": "reads",
    "keys list": "reads",
    "models calibrate": "writes a file of the pack, which no database has",
    "models evaluate": "reads",
    "models list": "reads",
    "models show": "reads",
    "models verify": "reads",
    "restore": "brings the log of the backup with it",
    "schools list": "reads",
    "smoke": "is a user of the app, not an operator",
    "status": "reads",
    "texts list": "reads",
    "token create": "signs a token, and stores nothing",
    "up": "starts processes; the migration is recorded",
    "worker": "runs a process",
}
"""Commands that change nothing of the service's data, and why."""


@pytest.fixture
def environment(
    dsn: str, service_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.setenv("SEMBLANCE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SEMBLANCE_DATABASE_URL", service_dsn)
    monkeypatch.setenv("SEMBLANCE_OWNER_DATABASE_URL", dsn)
    before = actor_var.get()
    yield
    actor_var.set(before)


class StoppedJobs:
    """Ray's jobs, one of which runs until it is stopped."""

    def __init__(self, _: object) -> None: ...

    def stop(self, _: str) -> bool:
        return True


def run(dsn: str, *arguments: str) -> tuple[str, list[dict[str, Any]]]:
    """What a command prints, and what it recorded."""
    with psycopg.connect(dsn, autocommit=True, row_factory=dict_row) as connection:
        before = [row["id"] for row in connection.execute("SELECT id FROM audit_log")]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        unseen = "SELECT * FROM audit_log WHERE id <> ALL(%s) ORDER BY at"
        return result.output, connection.execute(unseen, [before]).fetchall()


@pytest.mark.usefixtures("environment")
def test_commands_record_what_they_change(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops.commands.ray_jobs.jobs, "require_running", lambda _: None)
    monkeypatch.setattr(ops.commands.ray_jobs.jobs, "Jobs", StoppedJobs)
    with psycopg.connect(dsn, autocommit=True) as connection:
        for name in ("ada", "grace"):
            connection.execute(
                "INSERT INTO profiles (id, profile_type, email, name)"
                " VALUES (gen_random_uuid(), 'user', %s, %s)",
                [f"{name}@mit.edu", name],
            )
    schools = tmp_path / "schools.csv"
    schools.write_text("name,domains\nMIT,mit.edu\n")
    orphan = tmp_path / "home" / "objects" / "faces" / "a" / "b.jpg"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"x")
    old = time.time() - 86_400
    os.utime(orphan, (old, old))

    printed, made = run(dsn, "keys", "create", "--name", "booth")
    [key] = [word for word in printed.split() if word.startswith("smk_")]
    recorded = {"keys create": made}
    for command, *arguments in (
        ("keys revoke", str(made[0]["target"])),
        ("admins add", "ada@mit.edu"),
        ("admins add", "grace@mit.edu"),
        ("admins remove", "ada@mit.edu"),
        ("console", "--sign-out-all"),  # the session of a link is recorded where it begins
        ("schools import", str(schools)),
        ("storage sweep", "--force"),
        ("jobs stop", "4c2f5a0e-0000-4000-8000-000000000000"),
    ):
        recorded[command] = run(dsn, *command.split(), *arguments)[1]
    assert not orphan.exists()
    assert set(_commands()) == recorded.keys() | ELSEWHERE.keys() | CHANGE_NOTHING.keys()
    for command, records in recorded.items():
        assert records, f"semblance {command} left no record"
        for record in records:
            assert record["actor"].startswith("command:"), command
            assert record["target"], command
            assert record["before"] is not None or record["after"] is not None, command
            assert key not in str(record), command


@pytest.mark.parametrize(("action", "file"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_the_other_records_are_tested(action: str, file: str) -> None:
    assert action in (TESTS / file).read_text()


def _commands() -> Iterator[str]:
    """The names of all commands, as they are typed."""
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    for name, command in root.commands.items():
        if isinstance(command, TyperGroup):
            yield from (f"{name} {inner}" for inner in command.commands)
        else:
            yield name
