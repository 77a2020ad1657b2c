"""What the supervisor reports while it starts: one JSON object a line on its standard output."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

DETACH = b"d"
"""Written to the lease: the stack shall outlive the process that started it."""


class Event(BaseModel):
    """step: `text` begins now. detail: how the current step is doing. ready: the stack answers.
    failed: `text` says why and `log` knows more. busy: another supervisor holds this stack. problem: `text`
    is wrong with a stack that was ready, and being mended. healed: nothing is wrong any more."""

    kind: Literal["step", "detail", "ready", "failed", "busy", "problem", "healed"]
    text: str = ""
    log: Path | None = None


def emit(event: Event) -> None:
    """Report to whoever started the supervisor, if it still listens."""
    with suppress(BrokenPipeError):
        sys.stdout.write(event.model_dump_json() + "\n")
        sys.stdout.flush()
