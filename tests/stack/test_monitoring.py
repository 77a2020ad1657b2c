"""What Prometheus and Grafana are given names metrics that exist, and Prometheus understands it."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from semblance.metrics import METRICS
from semblance.recorder import HistogramMetric
from tests.support.monitoring import FOLDER, PROMTOOL, needs_prometheus
from tests.support.waiting import PATIENCE_S
from tools.dashboard import SECTIONS, TARGET, render

RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "rules.yaml").read_text())["groups"][0]["rules"]

LABELS = {metric.name: {*metric.labels} for metric in METRICS if not isinstance(metric, HistogramMetric)} | {
    f"{metric.name}_{part}": {*metric.labels, *(["le"] if part == "bucket" else [])}
    for metric in METRICS
    if isinstance(metric, HistogramMetric)
    for part in ("bucket", "count", "sum")
}
"""The labels of every series of ours, without those that Ray adds."""

EXPRESSIONS = {rule["alert"]: rule["expr"] for rule in RULES} | {
    f"{panel.title} {place}": query.expression
    for panels in SECTIONS.values()
    for panel in panels
    for place, query in enumerate(panel.queries)
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_names_series_and_labels_that_exist(name: str) -> None:
    expression = EXPRESSIONS[name]
    series = set(re.findall(r"\bsemblance_\w+", expression))
    assert series or name == "SemblanceDown" or name.startswith("Answers")
    assert series <= LABELS.keys()
    known = set().union({"job"}, *(LABELS[each] for each in series))
    named = {label for listed in re.findall(r"by \(([\w, ]+)\)", expression) for label in listed.split(", ")}
    named |= set(re.findall(r"(\w+)(?:=~|!~|=|!=)\"", expression))
    assert named <= known


def test_every_metric_is_shown() -> None:
    shown = set(re.findall(r"\bsemblance_\w+", " ".join(EXPRESSIONS.values())))
    hidden = [
        metric.name for metric in METRICS if not any(series.startswith(metric.name) for series in shown)
    ]
    assert hidden == []


def test_the_dashboard_is_current() -> None:
    assert TARGET.read_text(encoding="utf-8") == render(), "run python -m tools.dashboard"


def test_no_panel_lies_on_another() -> None:
    taken = set[tuple[int, int]]()
    for panel in json.loads(render())["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + column, place["y"] + row)
            for column in range(place["w"])
            for row in range(place["h"])
        }
        assert taken.isdisjoint(cells), panel["title"]
        assert max(column for column, _ in cells) < 24
        taken |= cells


def test_grafana_knows_every_field_of_the_dashboard() -> None:
    """Its own models, which leave out what they do not know, write all of it again."""
    written = json.loads(render())
    register_default_plugins()
    known = _leaves(json.loads(JSONEncoder().encode(Dashboard.from_json(written))))
    assert [leaf for leaf in _leaves(written) if leaf not in known] == []


def _leaves(value: object, path: str = "") -> list[tuple[str, object]]:
    """Every value that is neither a list nor an object, with its path."""
    match value:
        case dict():
            parts = list(value.items())
        case list():
            parts = list(enumerate(value))
        case _:
            return [(path, value)]
    return [leaf for key, part in parts for leaf in _leaves(part, f"{path}.{key}")]


@needs_prometheus
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "--syntax-only", "prometheus.yaml"),
        ("check", "rules", "rules.yaml"),
        ("test", "rules", "rules_test.yaml"),
    ],
)
def test_promtool_accepts(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [PROMTOOL, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case() -> None:
    cases = (FOLDER / "rules_test.yaml").read_text()
    assert [
        rule["alert"] for rule in RULES if f'alertname="{rule["alert"]}",alertstate="firing"' not in cases
    ] == []
    assert all({"summary", "description"} == rule["annotations"].keys() for rule in RULES)
