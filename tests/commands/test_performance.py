"""docs/performance.md says what its benchmarks measured, and its commands are those of the benchmarks."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from benchmarks import performance
from benchmarks.performance import BENCHMARKS, KEPT, PAGE, Benchmark, ComparedFigure, page


def test_the_page_says_what_was_measured() -> None:
    assert PAGE.read_text() == page(json.loads(KEPT.read_text()))


def test_small_sizes_are_printed_and_not_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = ComparedFigure("something small", "ms", 1.0, "less")
    record = {"command": "", "machine": "", "load": 0.0, "on": "", "figures": [asdict(figure)]}
    monkeypatch.setattr(performance, "KEPT", tmp_path / "performance.json")
    monkeypatch.setattr(performance, "PAGE", tmp_path / "performance.md")
    monkeypatch.setattr(performance, "run", lambda *_, quick: record)
    with pytest.raises(typer.Exit):
        performance.main(only=["text_queue"], quick=True)
    assert "something small" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    with pytest.raises(typer.Exit):
        performance.main(only=["text_queue"])
    assert "something small" in performance.PAGE.read_text()


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
