"""A plan: steps in their order, and obstacles."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

INDEX_RATE: Final = 300_000
HNSW_RATE: Final = 2_000
CHANGE_RATE: Final = 10_000
READ_RATE: Final = 1_000_000
"""Rows per second on a machine with two cores, for estimates: building a B-tree, building a vector index (see
`benchmarks.gallery_index`), changing rows, checking rows."""

Mode = Literal["transaction", "batches", "alone"]


@dataclass(frozen=True, slots=True)
class Step:
    """A step that is done whole or not at all.

    lock: who waits while it runs, empty for nobody. rows, rate: the number of rows, and rows per second.
    mode: `transaction` runs the statements in one; `batches` repeats the one statement, each time in a
    transaction and with the key that it returned, until it returns none; `alone` runs each statement outside
    of a transaction.
    """

    title: str
    statements: tuple[str, ...]
    lock: str = ""
    rows: int = 0
    rate: int = CHANGE_RATE
    mode: Mode = "transaction"

    @property
    def seconds(self) -> float:
        return self.rows / self.rate


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What the adoption cannot do itself, and how to solve it."""

    problem: str
    fix: str


@dataclass(slots=True)
class Plan:
    """steps: in order. obstacles: nothing begins while there is one."""

    steps: list[Step] = field(default_factory=list)
    obstacles: list[Obstacle] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)

    def add(self, step: Step) -> None:
        self.steps.append(step)
