"""A plan: steps in their order, and what stands in the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

INDEX_RATE: Final = 300_000
HNSW_RATE: Final = 2_000
CHANGE_RATE: Final = 10_000
READ_RATE: Final = 1_000_000
"""Rows a second on a machine of two cores, to estimate by: of a B-tree that is built, of a vector index (see
`benchmarks.gallery_index`), of rows that are changed, of rows that are checked."""

Mode = Literal["transaction", "batches", "alone"]


@dataclass(frozen=True, slots=True)
class Step:
    """Something that is done whole or not at all.

    lock: who waits while it runs, empty for nobody. rows, rate: how much it has to do and how many a second.
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
    """What the adoption cannot do by itself, and who can."""

    problem: str
    fix: str


@dataclass(slots=True)
class Plan:
    """steps: in order. obstacles: while there is one, nothing is begun."""

    steps: list[Step] = field(default_factory=list)
    obstacles: list[Obstacle] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)

    def add(self, step: Step) -> None:
        self.steps.append(step)
