"""docs/performance.md says what its benchmarks measured, and its commands are those of the benchmarks."""

from __future__ import annotations

import json
from importlib import import_module

import pytest
import typer
from typer.main import get_command

from benchmarks.performance import BENCHMARKS, KEPT, PAGE, Benchmark, ComparedFigure, page


def test_the_page_says_what_was_measured() -> None:
    assert PAGE.read_text() == page(json.loads(KEPT.read_text()))


def test_a_ratio_says_how_many_times_as_good_ours_is() -> None:
    quick = ComparedFigure("a", "ms", 2.0, "less", 3.0, 8.0, "b")
    slow = ComparedFigure("a", "photos/s", 2.0, "more", 3.0, 8.0, "b")
    assert (quick.ratio, quick.is_kept) == (4, True)
    assert (slow.ratio, slow.is_kept) == (0.25, False)
    assert (ComparedFigure("a", "", 1, "more").ratio, ComparedFigure("a", "", 1, "more").is_kept) == (
        None,
        None,
    )


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark.name)
def test_the_benchmarks_take_their_options(benchmark: Benchmark) -> None:
    app = typer.Typer()
    app.command()(import_module(f"benchmarks.{benchmark.module}").main)
    for options in (benchmark.options, benchmark.quick):
        needed = ["--photos", "."] if benchmark.photos else []
        context = get_command(app).make_context(benchmark.module, [*options, *needed, "--json"])
        assert context.params["as_json"]
