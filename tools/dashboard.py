"""The Grafana dashboard "Semblance": is it well, what is slow, what is full?

python -m tools.dashboard            write deploy/monitoring/grafana/semblance.json
python -m tools.dashboard --check    exit 1 where it differs from this module
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final, Literal

import typer

from semblance import metrics
from semblance.recorder import HistogramMetric, Metric
from tools import CHECKOUT
from tools.pages import Check, write_page

TARGET = CHECKOUT / "deploy" / "monitoring" / "grafana" / "semblance.json"

_COLUMNS: Final = 24
"""Of Grafana's grid."""

_FAILED: Final = '{status=~"5.."}'

_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}


@dataclass(frozen=True, slots=True)
class Query:
    """An expression of PromQL, and Grafana's template for the names of its series."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """A number or a graph. unit: as Grafana calls it. warn: from which value on a number is red."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    kind: Literal["stat", "timeseries"] = "timeseries"
    warn: float | None = None
    width: int = 8


def _rate(metric: Metric, by: str = "", where: str = "") -> str:
    """Events per second, over all processes."""
    suffix = "_count" if isinstance(metric, HistogramMetric) else ""
    return f"sum{_by(by)}(rate({metric.name}{suffix}{where}[$__rate_interval]))"


def _events(metric: Metric, by: str) -> str:
    """Events in the time shown. Some never happen."""
    suffix = "_count" if isinstance(metric, HistogramMetric) else ""
    return f"sum by ({by}) (increase({metric.name}{suffix}[$__range])) or vector(0)"


def _quantile(metric: HistogramMetric, share: float, by: str = "") -> str:
    within = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({within}) (rate({metric.name}_bucket[$__rate_interval])))"


def _quantiles(metric: HistogramMetric) -> tuple[Query, ...]:
    return tuple(Query(_quantile(metric, share), f"{share:.0%}") for share in (0.5, 0.95, 0.99))


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""


def _stat(title: str, unit: str, expression: str, *, warn: float | None = None, legend: str = "") -> Panel:
    return Panel(title, unit, (Query(expression, legend),), kind="stat", warn=warn, width=4)


SECTIONS: Final[dict[str, tuple[Panel, ...]]] = {
    "Is it well?": (
        _stat("Answers", "bool_yes_no", 'min(up{job="semblance"})'),
        _stat(
            "Requests that fail",
            "percentunit",
            f"({_rate(metrics.REQUESTS, where=_FAILED)} or vector(0)) / {_rate(metrics.REQUESTS)}",
            warn=0.05,
        ),
        _stat(
            "Oldest waiting match job",
            "s",
            f'max({metrics.QUEUE_OLDEST.name}{{status="pending"}})',
            warn=300,
        ),
        _stat("Failed match jobs", "none", f'max({metrics.QUEUE_JOBS.name}{{status="failed"}})', warn=1),
        _stat("Gallery read", "s", f"time() - max({metrics.GALLERY_CURRENT.name})", warn=300),
        _stat(
            "Version",
            "none",
            f"max by (version, pack) ({metrics.BUILD.name})",
            legend="{{version}}, {{pack}}",
        ),
        Panel("Requests by status", "reqps", (Query(_rate(metrics.REQUESTS, "status"), "{{status}}"),)),
        Panel("Refusals by reason", "short", (Query(_events(metrics.REFUSALS, "code"), "{{code}}"),)),
        Panel(
            "Reached daily limits", "short", (Query(_events(metrics.QUOTA_REFUSALS, "quota"), "{{quota}}"),)
        ),
        Panel(
            "Photos",
            "ops",
            (
                Query(_rate(metrics.PHOTOS, "outcome"), "{{outcome}}"),
                Query(_rate(metrics.FACES), "faces found"),
            ),
        ),
        Panel(
            "Ends of jobs",
            "ops",
            (Query(_rate(metrics.JOBS, "queue, outcome"), "{{queue}}: {{outcome}}"),),
        ),
        Panel(
            "Baby pictures",
            "short",
            (Query(_events(metrics.PROVIDER_SECONDS, "provider, outcome"), "{{provider}}: {{outcome}}"),),
        ),
    ),
    "What is slow?": (
        Panel("Until an answer begins", "s", _quantiles(metrics.REQUEST_SECONDS)),
        Panel(
            "The ten slowest routes (95 %)",
            "s",
            (
                Query(
                    f"topk(10, {_quantile(metrics.REQUEST_SECONDS, 0.95, 'method, route')})",
                    "{{method}} {{route}}",
                ),
            ),
        ),
        Panel("From upload to matches", "s", _quantiles(metrics.MATCH_SECONDS)),
        Panel("Searches (95 %)", "s", (Query(_quantile(metrics.SEARCH_SECONDS, 0.95, "kind"), "{{kind}}"),)),
        Panel("Searches", "ops", (Query(_rate(metrics.SEARCH_SECONDS, "kind"), "{{kind}}"),)),
        Panel("Wait for a database connection", "s", _quantiles(metrics.POOL_WAIT_SECONDS)),
    ),
    "What is full?": (
        Panel("Match jobs", "short", (Query(f"max by (status) ({metrics.QUEUE_JOBS.name})", "{{status}}"),)),
        Panel(
            "Age of the oldest", "s", (Query(f"max by (status) ({metrics.QUEUE_OLDEST.name})", "{{status}}"),)
        ),
        Panel("Text jobs", "short", (Query(f"max by (status) ({metrics.TEXT_JOBS.name})", "{{status}}"),)),
        Panel(
            "Age of the oldest text job",
            "s",
            (Query(f"max by (status) ({metrics.TEXT_JOBS_OLDEST.name})", "{{status}}"),),
        ),
        Panel("Gallery", "short", (Query(f"max by (pack) ({metrics.GALLERY_ROWS.name})", "{{pack}}"),)),
        Panel("Ingested pictures", "short", (Query(_events(metrics.INGESTED, "outcome"), "{{outcome}}"),)),
        Panel(
            "Disk in use",
            "percentunit",
            (Query(f"1 - min({metrics.DISK_FREE.name} / {metrics.DISK_SIZE.name})", "of the home"),),
        ),
        Panel("Realtime connections", "short", (Query(f"sum({metrics.REALTIME_CLIENTS.name})", "open"),)),
    ),
}


def render() -> str:
    """The whole file."""
    dashboard = {
        "uid": "semblance",
        "title": "Semblance",
        "tags": ["semblance"],
        "timezone": "browser",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "label": "Source", "type": "datasource", "query": "prometheus"}]
        },
        # Those that Ray makes, once they are imported.
        "links": [
            {
                "title": "Ray",
                "type": "dashboards",
                "tags": [f"rayVersion:{version('ray')}"],
                "asDropdown": True,
            },
        ],
        "panels": list(_panels()),
    }
    return json.dumps(dashboard, indent=1) + "\n"


def _panels() -> Iterator[dict[str, Any]]:
    """All panels in rows from left to right, a section below the other."""
    top = number = 0
    for title, panels in SECTIONS.items():
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1},
        }
        top += 1
        left = height = 0
        for panel in panels:
            if left + panel.width > _COLUMNS:
                left, top = 0, top + height
            height = 4 if panel.kind == "stat" else 8
            number += 1
            yield {
                "id": number,
                **_panel(panel),
                "gridPos": {"x": left, "y": top, "w": panel.width, "h": height},
            }
            left += panel.width
        top += height


def _panel(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.warn is not None:
        steps.append({"color": "red", "value": panel.warn})
    options: dict[str, Any] = {}
    if panel.kind == "stat" and any(query.legend for query in panel.queries):
        options = {"textMode": "name"}
    return {
        "type": panel.kind,
        "title": panel.title,
        "datasource": _SOURCE,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend or "__auto",
                "instant": panel.kind == "stat",
                "range": panel.kind != "stat",
            }
            for place, query in enumerate(panel.queries)
        ],
    }


def main(check: Check = False) -> None:
    """Write the dashboard, or say whether it is current."""
    write_page(TARGET, render(), check=check)


if __name__ == "__main__":
    typer.run(main)
