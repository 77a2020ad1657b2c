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
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, Final, TypeVar

import httpx
import ray
from prometheus_client.samples import Sample
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

_HISTOGRAM_OF: Final = {
    f"{metric.name}_{part}": metric.name
    for metric in METRICS
    if isinstance(metric, HistogramMetric)
    for part in ("bucket", "count", "sum")
}
"""By the names under which Ray knows the parts of a histogram: as gauges, since it would give counters other
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
                if family.type == "counter":
                    added = sample.value - (before or 0.0)
                    if added > 0:
                        self._of(ray_metrics.Counter, sample, family.documentation).inc(added, sample.labels)
                else:
                    self._of(ray_metrics.Gauge, sample, family.documentation).set(sample.value, sample.labels)

    def _of(self, kind: type[_Instrument], sample: Sample, description: str) -> _Instrument:
        instrument: _Instrument | None = self._instruments.get(sample.name)
        if instrument is None:
            made = kind(sample.name, description, tag_keys=tuple(sample.labels))
            instrument = self._instruments[sample.name] = made
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
        family = ""
        for line in text.splitlines():
            if line.startswith("# "):
                _, keyword, name, said = line.split(" ", 3)
                name, kept = name.removeprefix(PREFIX), name.startswith(ours)
                family = _HISTOGRAM_OF.get(name, name) if kept else ""
                if kept:
                    said = "histogram" if keyword == "TYPE" and family != name else said
                    described.setdefault(f"{family} {keyword}", f"# {keyword} {family} {said}")
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
