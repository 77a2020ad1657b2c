"""The console has words for every outcome that a report of a Ray job can name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from batch.ingest import outcomes
from batch.reembed import worker

PAGE = Path(outcomes.__file__).parents[2] / "serve_app" / "console" / "src" / "pages" / "jobs"


def test_the_console_knows_the_outcomes() -> None:
    listed = re.search(r"RESULTS = \[(.*?)\];", (PAGE / "report.ts").read_text(), re.DOTALL)
    assert listed is not None
    known = re.findall(r"'(\w+)'", listed[1])
    assert sorted(known) == sorted({*outcomes.OUTCOMES, *worker.OUTCOMES})


@pytest.mark.parametrize("language", ["en", "de"])
def test_every_outcome_has_words(language: str) -> None:
    words = (PAGE / f"words.{language}.po").read_text()
    named = re.findall(r'msgid "jobs\.result\.(\w+)"\nmsgstr ".+"', words)
    assert sorted(named) == sorted({*outcomes.OUTCOMES, *worker.OUTCOMES})
