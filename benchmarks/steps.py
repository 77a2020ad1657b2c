"""What the steps of something take, as the spans of `semblance.tracing` mark them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from semblance.tracing import Attribute, trace_with


class StepTimes:
    """Records how long each span takes. For what is done one after the other; a step includes those that it
    contains."""

    def __init__(self) -> None:
        self._times: defaultdict[str, list[float]] = defaultdict(list)

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record the spans of this process until the block ends."""
        trace_with(self)
        try:
            yield
        finally:
            trace_with(None)

    def milliseconds(self) -> dict[str, float]:
        """The median of each step, in the order in which they first ended."""
        return {name: float(np.median(times)) for name, times in self._times.items()}

    @contextmanager
    def part(self, name: str, attributes: dict[str, Attribute]) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._times[name].append((time.perf_counter() - started) * 1000)

    @contextmanager
    def begin(self, name: str, attributes: dict[str, Attribute], parent: str | None) -> Iterator[None]:
        with self.part(name, attributes):
            yield

    def describe(self, name: str, attributes: dict[str, Attribute]) -> None:
        return

    def trace_id(self) -> str | None:
        return None

    def traceparent(self) -> str | None:
        return None
