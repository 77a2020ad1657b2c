"""How a metric is recorded: in its process. The metrics themselves are declared in `semblance.metrics`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import prometheus_client

from semblance.errors import ConfigurationError

# Each counter would have a second series, with the time of its first count.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

_Instrument = TypeVar(
    "_Instrument", prometheus_client.Counter, prometheus_client.Gauge, prometheus_client.Histogram
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What is measured.

    name: as Prometheus knows it. help: a sentence. labels: names of what tells its series apart. Their values
    come from short lists: they are never ids, names or paths of users.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()

    kind: ClassVar[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterMetric(Metric):
    """Only grows while its process lives."""

    kind: ClassVar[str] = "counter"

    def count(self, amount: float = 1, /, **labels: str) -> None:
        """Add an amount above 0."""
        local.count(self, amount, labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class GaugeMetric(Metric):
    """Goes up and down."""

    kind: ClassVar[str] = "gauge"

    def put(self, value: float, /, **labels: str) -> None:
        """Record the value of now."""
        local.put(self, value, labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramMetric(Metric):
    """Counts durations by their length. buckets: upper bounds in seconds, above 0 and ascending."""

    buckets: tuple[float, ...]

    kind: ClassVar[str] = "histogram"

    @property
    def bounds(self) -> tuple[str, ...]:
        """The values of the label `le`, by which Prometheus tells the buckets apart."""
        return (*map(str, self.buckets), "+Inf")

    def observe(self, seconds: float, /, **labels: str) -> None:
        """Record a duration."""
        local.observe(self, seconds, labels)

    @contextmanager
    def timed(self, **labels: str) -> Iterator[None]:
        """Record how long the block takes, also if it raises."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.observe(time.perf_counter() - began, **labels)


class Recorder:
    """Keeps the values of metrics. It is called from any thread, and takes microseconds."""

    def __init__(self) -> None:
        self._registry = prometheus_client.CollectorRegistry()
        self._instruments: dict[str, Any] = {}
        self._labelled: dict[tuple[str | None, ...], Any] = {}
        """The series of an instrument by its name and the values of its labels. The library checks the names
        of the labels each time, which takes as long as all else."""

    def count(self, metric: CounterMetric, amount: float, labels: Mapping[str, str]) -> None:
        self._series(metric, prometheus_client.Counter, labels).inc(amount)

    def put(self, metric: GaugeMetric, value: float, labels: Mapping[str, str]) -> None:
        self._series(metric, prometheus_client.Gauge, labels).set(value)

    def observe(self, metric: HistogramMetric, value: float, labels: Mapping[str, str]) -> None:
        series = self._series(metric, prometheus_client.Histogram, labels, buckets=metric.buckets)
        series.observe(value)

    def families(self) -> Iterable[prometheus_client.Metric]:
        """All values: those of a counter, of a gauge, and of the parts of a histogram."""
        return self._registry.collect()

    def text(self) -> str:
        """All values in Prometheus' text format."""
        return prometheus_client.generate_latest(self._registry).decode()

    @contextmanager
    def serving(self, port: int) -> Iterator[None]:
        """Answer Prometheus on a port for this machine alone, while the block runs. Raises ConfigurationError
        if the port is taken."""
        try:
            server, thread = prometheus_client.start_http_server(port, "127.0.0.1", self._registry)
        except OSError as exc:
            raise ConfigurationError(f"Port {port} cannot be used for metrics: {exc.strerror}.") from exc
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def _series(
        self, metric: Metric, kind: type[_Instrument], labels: Mapping[str, str], **options: Any
    ) -> _Instrument:
        key = (metric.name, *map(labels.get, metric.labels))
        series: _Instrument | None = self._labelled.get(key)
        if series is None or len(labels) != len(metric.labels):
            instrument = self._instrument(metric, kind, **options)
            series = self._labelled[key] = instrument.labels(**labels) if metric.labels else instrument
        return series

    def _instrument(self, metric: Metric, kind: type[_Instrument], **options: Any) -> _Instrument:
        instrument: _Instrument | None = self._instruments.get(metric.name)
        if instrument is None:
            made = kind(metric.name, metric.help, metric.labels, registry=None, **options)
            # Of several threads that make one, the first counts.
            instrument = self._instruments.setdefault(metric.name, made)
            if instrument is made:
                self._registry.register(made)
        return instrument


local = Recorder()
"""Of this process."""
