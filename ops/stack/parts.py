"""What a stack consists of."""

from __future__ import annotations

from typing import Protocol


class Part(Protocol):
    """Something a stack consists of, which can die by itself."""

    name: str

    def start(self) -> None:
        """Bring it up, whatever is left of it, and return when it answers. Raises SemblanceError."""

    def problem(self) -> str | None:
        """None while it exists and answers, else a sentence; returns within a few seconds."""

    def stop(self) -> None:
        """End it and what it started; no error where nothing runs."""
