"""Whether a text may be shown, asked before anything of it is."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Protocol

from deployments.writing.openai import BUSY, OpenAIClient
from semblance.errors import ConfigurationError, TextProviderBusyError

BLOCKED: Final = (
    *("kill yourself", "kys", "bitch", "cunt", "faggot", "nigger", "retard", "slut", "whore", "rape"),
    *("fuck", "fucking", "nude", "nudes", "porn", "cocaine", "suicide"),
)
"""Words of which no suggestion needs one; an operator's list adds to them."""

_MOST_WORDS: Final = 10_000


class Moderator(Protocol):
    """Judges texts; safe for concurrent calls."""

    async def allows(self, text: str) -> bool:
        """Whether the text may be shown. Raises TextProviderBusyError if it cannot be judged now."""


class WordList:
    """Refuses texts that contain one of a list of words or phrases, however they are written in upper and
    lower case, with accents or spaces."""

    def __init__(self, words: Iterable[str] = BLOCKED) -> None:
        known = sorted({_folded(word) for word in words} - {""}, key=len, reverse=True)
        self._pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, known))})(?!\w)") if known else None

    async def allows(self, text: str) -> bool:
        """As `Moderator` says; never raises."""
        return self._pattern is None or self._pattern.search(_folded(text)) is None


class ModerationEndpoint:
    """Asks the provider's `/moderations`, after a list of words."""

    def __init__(self, client: OpenAIClient, words: WordList) -> None:
        self._client = client
        self._words = words

    async def allows(self, text: str) -> bool:
        """As `Moderator` says. Also raises TextRefusedError if the provider has no such endpoint."""
        if not await self._words.allows(text):
            return False
        answer = await self._client.answer("moderations", {"input": text})
        results = answer.get("results")
        flags = [entry.get("flagged") for entry in results] if isinstance(results, list) else []
        if not flags or not all(isinstance(flag, bool) for flag in flags):
            raise TextProviderBusyError(BUSY)
        return not any(flags)


def read_words(path: Path) -> list[str]:
    """The words or phrases of a text file, one on each line; lines that begin with # are comments.

    Raises ConfigurationError if it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(
            f"SEMBLANCE_TEXT_BLOCKED_WORDS={path} cannot be read as UTF-8 text; name a file with one word "
            f"a line."
        ) from exc
    words = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if len(words) > _MOST_WORDS:
        raise ConfigurationError(f"SEMBLANCE_TEXT_BLOCKED_WORDS={path} has more than {_MOST_WORDS} words.")
    return words


def _folded(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    return " ".join("".join(char for char in decomposed if not unicodedata.combining(char)).split())
