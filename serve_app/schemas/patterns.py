"""Patterns of what requests may hold, each with the sentence that people read in its place."""

from __future__ import annotations

from typing import Final

_SENTENCES: Final[dict[str, str]] = {}


def explained(pattern: str, sentence: str) -> str:
    """The pattern itself, for `Field` and its like; a value that does not match is refused with the sentence,
    which follows the field's name."""
    _SENTENCES[pattern] = sentence
    return pattern


def sentence_of(pattern: str) -> str:
    """What people are told instead of the pattern."""
    return _SENTENCES.get(pattern, "does not have the form that the documentation gives")


STORABLE: Final = explained(r"^[^\x00]*$", "should hold no zero bytes")
"""Text that PostgreSQL takes."""
