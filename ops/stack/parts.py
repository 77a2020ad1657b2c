"""What a stack consists of."""

from __future__ import annotations

from typing import Protocol


class Part(Protocol):
    """A part of a stack that can die independently."""

    name: str

    def start(self) -> None:
        """Start or repair it, and return when it answers. Raises SemblanceError."""

    def problem(self) -> str | None:
        """None while it exists and answers, else a sentence. Returns within a few seconds."""

    def stop(self) -> None:
        """End it and what it started. No error if nothing runs."""
