"""The metrics of a process that belongs to a Ray: handed to Ray, and read from the exports of its nodes.

They are counted in the process and handed over every EXPORT_S. Recording each value in Ray takes several
times as long, and Ray's agent then records those of histograms again, from the middle of each bucket: their
sums come out wrong, and 2,000 requests a second keep it busy for a tenth of the time.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, TypeVar

import httpx
import ray
from ray.util import metrics as ray_metrics

from semblance.errors import NotReadyError
from semblance.metrics import METRICS
from semblance.recorder import HistogramMetric, local

logger = logging.getLogger(__name__)

PREFIX: Final = "ray_"
"""What Ray puts before the name of every metric that it exports."""

EXPORT_S: Final = 2.0
"""How often values are handed to Ray, whose nodes export them ten seconds later at most."""

_ALL_EVERY = 4
"""How often all values are handed over, and not only those that have changed: Ray forgets a gauge that nobody
sets for twenty seconds."""

_ANSWER_S = 5.0

_NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of plain HTTP. Without it, each would read the system's certificates and hold up the event loop
for 20 ms."""

_NOISE = re.compile(r'\b(?:Component|SessionName|Version|otel_scope_\w+)="[^"]*",?')
"""Labels of Ray that tell no series apart: its node and the id of its process do."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a histogram. sample: its name in Prometheus' text format. le: of a bucket."""

    histogram: str
    sample: str
    le: str | None = None


def bucket_name(bucket: str, le: str) -> str:
    """The gauge by which Ray knows a bucket, as `semblance_wait_seconds_bucket_le_0_5`. With `le` as a label,
    the routes of the API would be too many: of a metric, a process of Ray keeps 2,000 series apart."""
    return f"{bucket}_le_{le.removeprefix('+').replace('.', '_').lower()}"


def _parts() -> Iterator[tuple[str, _Part]]:
    for metric in METRICS:
        if isinstance(metric, HistogramMetric):
            for part in ("count", "sum"):
                yield f"{metric.name}_{part}", _Part(metric.name, f"{metric.name}_{part}")
            for le in metric.bounds:
                bucket = f"{metric.name}_bucket"
                yield bucket_name(bucket, le), _Part(metric.name, bucket, le)


_PARTS: Final = dict(_parts())
"""By the names under which Ray knows the parts of histograms: as gauges, since it would give counters other
names."""

_Instrument = TypeVar("_Instrument", bound=ray_metrics.Metric)


class RayExport(threading.Thread):
    """Hands the metrics of this process to the Ray that it is connected to."""

    def __init__(self) -> None:
        super().__init__(name="metrics", daemon=True)
        self._ended = threading.Event()
        self._instruments: dict[str, Any] = {}
        self._handed: dict[tuple[str, ...], float] = {}

    def run(self) -> None:
        for number in count():
            if self._ended.wait(EXPORT_S):
                break
            self._hand_over(unchanged=number % _ALL_EVERY == 0)

    def end(self) -> None:
        """Hand over a last time."""
        self._ended.set()
        self.join()
        self._hand_over(unchanged=False)

    def _hand_over(self, *, unchanged: bool) -> None:
        """The values that have changed, and if wanted all others."""
        for family in local.families():
            for sample in family.samples:
                series = (sample.name, *sample.labels.values())
                before = self._handed.get(series)
                if sample.value == before and not unchanged:
                    continue
                self._handed[series] = sample.value
                name, labels = sample.name, dict(sample.labels)
                if le := labels.pop("le", None):
                    name = bucket_name(name, le)
                if family.type == "counter":
                    added = sample.value - (before or 0.0)
                    if added > 0:
                        self._of(ray_metrics.Counter, name, family.documentation, labels).inc(added, labels)
                else:
                    self._of(ray_metrics.Gauge, name, family.documentation, labels).set(sample.value, labels)

    def _of(
        self, kind: type[_Instrument], name: str, description: str, labels: Mapping[str, str]
    ) -> _Instrument:
        instrument: _Instrument | None = self._instruments.get(name)
        if instrument is None:
            instrument = self._instruments[name] = kind(name, description, tag_keys=tuple(labels))
        return instrument


def export_to_ray() -> None:
    """Have the nodes of the Ray that this process is connected to export its metrics, as long as it lives;
    nothing without Ray."""
    if ray.is_initialized():
        RayExport().start()


@contextmanager
def exported_by_ray() -> Iterator[None]:
    """While the block runs, the nodes of the Ray that this process is connected to export its metrics."""
    export = RayExport()
    export.start()
    try:
        yield
    finally:
        export.end()


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
        family, part = "", None
        for line in text.splitlines():
            if line.startswith("# "):
                _, keyword, exported, *said = line.split(" ", 3)
                name = exported.removeprefix(PREFIX)
                part = _PARTS.get(name)
                family = "" if not exported.startswith(ours) else name if part is None else part.histogram
                if family:
                    said = ["histogram"] if keyword == "TYPE" and part else said
                    described.setdefault(f"{family} {keyword}", " ".join(["#", keyword, family, *said]))
            elif family:
                sample = _NOISE.sub("", line.removeprefix(PREFIX))
                samples[family].append(sample if part is None else _of_histogram(part, sample))
    lines = []
    for family, values in samples.items():
        lines += [described[key] for key in (f"{family} HELP", f"{family} TYPE") if key in described]
        lines += values
    return "".join(f"{line}\n" for line in lines)


def _of_histogram(part: _Part, sample: str) -> str:
    """A line of Ray's as one of a histogram."""
    _, _, rest = sample.partition("{")
    return f'{part.sample}{{le="{part.le}",{rest}' if part.le else f"{part.sample}{{{rest}"


def _urls() -> list[str]:
    """Where the nodes of the cluster export their metrics."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [
        f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        for node in nodes
        if node["Alive"] and node["MetricsExportPort"] > 0
    ]
