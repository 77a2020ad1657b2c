"""The progress of a job: a bar on a terminal, a line every few seconds in a log."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 5.0


@dataclass(slots=True)
class Counts:
    """What is done of `total`, which is None until it is known, and a second count."""

    done: int = 0
    total: int | None = None
    counted: int = 0


latest = Counts()
"""Of this process's job: what `batch.record` writes."""


class JobProgress:
    """Counts what is done of `total`; a context manager. aside: name of a second count."""

    def __init__(self, console: Console, what: str, total: int, *, aside: str = "not taken") -> None:
        self._console = console
        self._what = what
        self._total = total
        self._aside = aside
        self._done = 0
        self._counted = 0
        self._started = self._printed = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.1f}/s"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[counted]} " + aside),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(what, total=total, rate=0.0, counted=0)

    def __enter__(self) -> Self:
        latest.done, latest.total, latest.counted = 0, self._total, 0
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, done: int, counted: int) -> None:
        """Add to what is done, and to the second count."""
        self._done += done
        self._counted += counted
        latest.done, latest.counted = self._done, self._counted
        now = time.monotonic()
        rate = self._done / max(now - self._started, 1e-9)
        if self._console.is_terminal:
            self._bar.update(self._task, completed=self._done, rate=rate, counted=self._counted)
        elif now - self._printed >= LINE_EVERY_S or self._done == self._total:
            self._printed = now
            left = (self._total - self._done) / rate
            self._console.print(
                f"{self._what} {self._done}/{self._total} ({self._done / self._total:.0%}), {rate:.1f}/s, "
                f"{self._counted} {self._aside}, about {left:.0f} s left",
                highlight=False,
                soft_wrap=True,
            )
