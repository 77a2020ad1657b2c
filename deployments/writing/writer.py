"""What every writer of texts takes and gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from db.inference_jobs import Author, Use
from db.text_subjects import TextSubject

OnText = Callable[[str], Awaitable[None]]
"""Is given the whole text so far, as the writer has it, whenever there is more of it."""


@dataclass(frozen=True, slots=True)
class WrittenText:
    """A text as its writer gave it, which nobody has checked, and what it took."""

    text: str
    use: Use


class TextWriter(Protocol):
    """Writes texts; safe for concurrent calls."""

    @property
    def author(self) -> Author:
        """Who writes, as `generation_logs` and the answers name them."""

    async def write(self, subject: TextSubject, on_text: OnText) -> WrittenText:
        """A text about this subject.

        Raises TextProviderBusyError if a later attempt may succeed, TextRefusedError if none will; both with
        the tokens that were used.
        """

    async def close(self) -> None:
        """Close connections; nothing is called afterwards."""
