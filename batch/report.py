"""The report of a job: a file of JSON lines, one for each input or row."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from semblance.errors import ConfigurationError


class JobReport:
    """Writes lines in the order of the calls; a context manager. What `write` has written survives if the
    process is killed. Everything raises ConfigurationError if the file cannot be written."""

    def __init__(self, path: Path, *, append: bool = False) -> None:
        """append: to what the file has."""
        self.path = path
        with self._writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a" if append else "w", encoding="ascii")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Writes again what a full disk has refused.
        with self._writing():
            self._file.close()

    def write(self, lines: Iterable[Mapping[str, object]]) -> None:
        """Append lines."""
        with self._writing():
            self._file.writelines(json.dumps(line) + "\n" for line in lines)
            self._file.flush()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            reason = exc.strerror or exc
            raise ConfigurationError(f"The report {self.path} cannot be written: {reason}.") from exc


def default_report_path(home: Path, job: str) -> Path:
    """A path in `home`/reports, different for every run of every job."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return home / "reports" / f"{job}-{stamp}.jsonl"
