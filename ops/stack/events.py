"""What the supervisor reports: one JSON object per line on its standard output."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

DETACH = b"d"
"""Written to the lease: the stack is to outlive the process that started it."""


class StackEvent(BaseModel):
    """One report.

    The kinds are: step (`text` begins now), detail (progress of the current step), ready (the stack answers),
    failed (`text` says why, `log` holds more), busy (another supervisor runs this stack), problem (`text` is
    wrong with a stack that was ready, and is being repaired), healed (no problem is left).
    """

    kind: Literal["step", "detail", "ready", "failed", "busy", "problem", "healed"]
    text: str = ""
    log: Path | None = None


def emit(event: StackEvent) -> None:
    """Report to the process that started the supervisor, if it still listens."""
    with suppress(BrokenPipeError):
        sys.stdout.write(event.model_dump_json() + "\n")
        sys.stdout.flush()
