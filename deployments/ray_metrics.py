"""The metrics of a process that belongs to a Ray: recorded by Ray, and read from the exports of its nodes."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

import httpx
import ray
from ray.util import metrics as ray_metrics

from semblance.errors import NotReadyError
from semblance.recorder import CounterMetric, GaugeMetric, HistogramMetric, Metric, local, record_with

logger = logging.getLogger(__name__)

PREFIX: Final = "ray_"
"""What Ray puts before the name of every metric that it exports."""

_ANSWER_S = 5.0

_NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of plain HTTP. Without it, each would read the system's certificates and hold up the event loop
for 20 ms."""

_NOISE = re.compile(r'\b(?:Component|SessionName|Version|otel_scope_\w+)="[^"]*",?')
"""Labels of Ray that tell no series apart: its node and the id of its process do."""

_Instrument = TypeVar("_Instrument", bound=ray_metrics.Metric)


def record_in_ray() -> None:
    """Record the metrics of this process in the Ray that it is connected to; without one, stay local."""
    if ray.is_initialized():
        record_with(_RayRecorder())


class _RayRecorder:
    """Hands values to Ray, whose nodes export them ten seconds later at most."""

    def __init__(self) -> None:
        self._instruments: dict[str, Any] = {}

    def count(self, metric: CounterMetric, amount: float, labels: Mapping[str, str]) -> None:
        self._of(metric, ray_metrics.Counter).inc(amount, dict(labels))

    def put(self, metric: GaugeMetric, value: float, labels: Mapping[str, str]) -> None:
        self._of(metric, ray_metrics.Gauge).set(value, dict(labels))

    def observe(self, metric: HistogramMetric, value: float, labels: Mapping[str, str]) -> None:
        made = self._of(metric, ray_metrics.Histogram, boundaries=list(metric.buckets))
        made.observe(value, dict(labels))

    def _of(self, metric: Metric, kind: type[_Instrument], **options: Any) -> _Instrument:
        instrument: _Instrument | None = self._instruments.get(metric.name)
        if instrument is None:
            made = kind(metric.name, metric.help, tag_keys=metric.labels, **options)
            instrument = self._instruments.setdefault(metric.name, made)
        return instrument


async def metrics_text() -> str:
    """All values in Prometheus' text format: of every process of the Ray that this one is connected to, or
    else of this process.

    Raises NotReadyError if no node of the Ray answers.
    """
    if not ray.is_initialized():
        return local.text()
    exports = await node_exports()
    if not exports:
        raise NotReadyError("No node of Ray exports its metrics now; try again soon.", 5)
    return merged(exports)


async def node_exports() -> list[str]:
    """What the nodes of Ray export in Prometheus' text format, of those that answer; nothing without Ray."""
    if not ray.is_initialized():
        return []
    urls = await asyncio.to_thread(_urls)
    async with httpx.AsyncClient(timeout=_ANSWER_S, trust_env=False, verify=_NO_TLS) as client:
        answers = await asyncio.gather(*(client.get(url) for url in urls), return_exceptions=True)
    texts = []
    for url, answer in zip(urls, answers, strict=True):
        if isinstance(answer, httpx.Response) and answer.is_success:
            texts.append(answer.text)
        else:
            logger.warning("no metrics from %s: %s", url, answer)
    return texts


def merged(exports: Iterable[str]) -> str:
    """The service's own metrics of several exports of Ray, without Ray's prefix. In the text format the lines
    of a metric follow each other, and it is described once."""
    described: dict[str, str] = {}
    samples = defaultdict[str, list[str]](list)
    ours = f"{PREFIX}semblance_"
    for text in exports:
        family = ""
        for line in text.splitlines():
            if line.startswith("# "):
                _, keyword, name, *_ = line.split(" ", 3)
                family = name.removeprefix(PREFIX) if name.startswith(ours) else ""
                if family:
                    described.setdefault(f"{family} {keyword}", line.replace(PREFIX, "", 1))
            elif family:
                samples[family].append(_NOISE.sub("", line.removeprefix(PREFIX)))
    lines = []
    for family, values in samples.items():
        lines += [described[key] for key in (f"{family} HELP", f"{family} TYPE") if key in described]
        lines += values
    return "".join(f"{line}\n" for line in lines)


def _urls() -> list[str]:
    """Where the nodes of the cluster export their metrics."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [
        f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        for node in nodes
        if node["Alive"] and node["MetricsExportPort"] > 0
    ]
