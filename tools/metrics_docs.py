"""docs/metrics.md from the declarations of the metrics.

python -m tools.metrics_docs            write docs/metrics.md
python -m tools.metrics_docs --check    exit 1 where it differs from the code
"""

from __future__ import annotations

import typer

from semblance.metrics import METRICS
from tools import CHECKOUT
from tools.pages import Check, write_page

TARGET = CHECKOUT / "docs" / "metrics.md"

HEAD = """\
# Metrics

Written by `python -m tools.metrics_docs` from `semblance/metrics.py`. How to collect them, and what to watch,
is in [operations.md](operations.md#monitoring).

`GET /metrics` answers them in Prometheus' text format, for all processes of the service at once: replicas of
the API, of the detector and of the matcher, and Ray jobs that run on the same Ray. It takes the service's own
API key, a key of `semblance keys create --scope metrics`, or a session of the console. Values are up to
twelve seconds old. What the gateway refuses by itself reaches no process and is not counted.

Ray's nodes export the same values beside Ray's own metrics, with `ray_` before each name, and the parts of a
histogram as gauges: a bucket as `ray_semblance_request_seconds_bucket_le_0_5`. On Kubernetes, where they are
collected there, `deploy/k8s/monitoring/pods.yaml` gives them the names below. Collect one or the other.

A `semblance worker` belongs to no Ray: with `--metrics-port PORT` it answers its own metrics on 127.0.0.1.

Counters and histograms begin at 0 with their process, so use `rate` and `increase`, and `sum` over processes.
A gauge of the whole service is reported by several processes: take the `max`. Ray adds the labels that tell
processes apart.

| metric | kind | labels | |
| --- | --- | --- | --- |
"""


def render() -> str:
    """The whole page."""
    return HEAD + "".join(
        f"| `{metric.name}` | {metric.kind} | {', '.join(metric.labels)} | {metric.help} |\n"
        for metric in METRICS
    )


def main(check: Check = False) -> None:
    """Write docs/metrics.md, or say whether it is current."""
    write_page(TARGET, render(), check=check)


if __name__ == "__main__":
    typer.run(main)
