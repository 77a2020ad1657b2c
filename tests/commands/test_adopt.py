"""`semblance migrate --adopt` and `--finish`, as an operator uses them."""

from __future__ import annotations

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from db.adoption.rules import UNKNOWN_PACK
from ops.commands.app import app
from ops.commands.schema.adoption import adopt_database
from semblance.errors import BadInputError
from semblance.settings import Settings
from tests.support.old_app import early
from tests.support.rows import DIGEST
from tests.support.supabase import run


@pytest.fixture
def settings(empty_dsn: str, known_targets: None) -> Settings:
    """With an old app's database."""
    run(empty_dsn, early("CREATE EXTENSION vector;"))
    return Settings(database_url=SecretStr(empty_dsn))


def test_without_confirmation_it_only_reports(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert adopt_database(settings, "expand", pack=None, yes=False)
    said = capsys.readouterr().out
    assert "Nothing was changed" in said
    # Names are complete, and so is the digest, which an import may need.
    for part in ("mutual_connections", "qdrant_point_id", "who waits", "unnamed pack", UNKNOWN_PACK):
        assert part in said
    # It is unchanged and can still be adopted.
    assert adopt_database(settings, "expand", pack=DIGEST, yes=True)
    said = capsys.readouterr().out
    assert "semblance migrate --finish" in said
    assert adopt_database(settings, "expand", pack=None, yes=True)
    assert "This database is adopted." in capsys.readouterr().out
    assert adopt_database(settings, "finish", pack=None, yes=True)
    said = capsys.readouterr().out
    assert "drop columns of faces: qdrant_point_id (0 values)" in " ".join(said.split())
    assert "that of a new database" in said


def test_obstacles_are_named_with_the_fix(
    settings: Settings, empty_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(empty_dsn, "ALTER TABLE faces ADD COLUMN embedding vector(128)")
    assert not adopt_database(settings, "expand", pack=None, yes=True)
    said = " ".join(capsys.readouterr().out.split())
    # After the long table of steps, where people see it.
    assert "faces.embedding is vector(128)" in said.partition("who waits")[2]
    assert "RENAME COLUMN embedding TO old_embedding" in said


@pytest.mark.parametrize(
    "arguments", [["--adopt", "--finish"], ["--yes"], ["--pack", "open"], ["--finish", "--pack", "open"]]
)
def test_conflicting_options_are_refused(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["migrate", *arguments])
    assert isinstance(result.exception, BadInputError)
