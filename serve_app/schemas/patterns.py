"""Patterns of values in requests, each with the sentence that people read instead of it."""

from __future__ import annotations

from typing import Final

_SENTENCES: Final[dict[str, str]] = {}


def explained(pattern: str, sentence: str) -> str:
    """The pattern itself, for `Field` and `Query`. A value that does not match is refused with the sentence,
    which follows the name of the field."""
    _SENTENCES[pattern] = sentence
    return pattern


def sentence_of(pattern: str) -> str:
    """The sentence of a pattern."""
    return _SENTENCES.get(pattern, "does not have the form that the documentation gives")


STORABLE: Final = explained(r"^[^\x00]*$", "should contain no zero bytes")
"""Text that PostgreSQL can store."""

VISIBLE: Final = explained(
    r"^[^\x00]*[^\s\x00][^\x00]*$", "should contain something visible, and no zero bytes"
)
"""Such text that is not blank."""
