"""What a finished ingestion prints in a terminal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from batch.ingest.outcomes import IngestSummary


def shown(*, dry_run: bool, excluded: dict[str, int] | None = None) -> str:
    summary = IngestSummary(
        {"ingested": 3, "missing": 1}, 1.0, Path("r.jsonl"), excluded or {}, dry_run=dry_run
    )
    output = io.StringIO()
    Console(file=output, width=120).print(summary.table())
    return output.getvalue()


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_dry_run_claims_to_have_written_nothing(dry_run: bool) -> None:
    assert ("would be written to the database" in shown(dry_run=dry_run)) is dry_run
    assert "written to the database" in shown(dry_run=dry_run)


def test_excluded_files_are_counted_beside_the_inputs() -> None:
    table = shown(dry_run=False, excluded={"@eaDir": 1200, "[x]*": 34})
    (line,) = [line for line in table.splitlines() if "excluded" in line]
    assert "1,234" in line
    assert "@eaDir, [x]*" in line
    (total,) = [line for line in table.splitlines() if "all" in line]
    assert " 4 " in total
    assert "excluded" not in shown(dry_run=False)
