"""The tokens of a text: BERT's lower-case WordPiece.

The rules are those of the library `tokenizers` (BertNormalizer, BertPreTokenizer, WordPiece), but a text
cannot name the tokens with a meaning: "[SEP]" in a text is three ordinary tokens.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from semblance.errors import PackError

FIRST, LAST, UNKNOWN = "[CLS]", "[SEP]", "[UNK]"

LONGEST_WORD = 100
"""Characters; a longer word is unknown. Looking for its pieces would take time that grows with its square:
three seconds for a message without a space."""

IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
"""First and last of the blocks of Chinese characters, each of which is a word. The sixth begins later than
Unicode's, as in `tokenizers`."""


class _Word(NamedTuple):
    """begin, end: its place in the text. text: as the vocabulary writes it."""

    begin: int
    end: int
    text: str


class WordPieces:
    """Splits texts into the tokens of a vocabulary."""

    def __init__(self, path: Path) -> None:
        """Raises PackError if the vocabulary lacks a token that every text needs."""
        lines = path.read_text(encoding="utf-8").split("\n")
        self._ids = {token: index for index, token in enumerate(lines)}
        missing = [token for token in (FIRST, LAST, UNKNOWN) if token not in self._ids]
        if missing:
            raise PackError(f"{path} is not a WordPiece vocabulary: it lacks {', '.join(missing)}.")

    def ids(self, text: str, most: int) -> list[int]:
        """The ids of a text's tokens between FIRST and LAST, at most `most` with these. A word whose pieces
        are not all in the vocabulary is UNKNOWN."""
        tokens = (token for word in _words(text) for token in self._pieces(word.text))
        return [self._ids[FIRST], *islice(tokens, most - 2), self._ids[LAST]]

    def words(self, text: str) -> Iterator[tuple[int, int, int]]:
        """Where each word of a text begins and ends, in characters, and how many tokens it is."""
        return ((word.begin, word.end, len(self._pieces(word.text))) for word in _words(text))

    def _pieces(self, word: str) -> list[int]:
        """The longest piece of the vocabulary that the word begins with, then of the rest, and so on."""
        if len(word) > LONGEST_WORD:
            return [self._ids[UNKNOWN]]
        pieces: list[int] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                piece = self._ids.get(prefix + word[start:end])
                if piece is not None:
                    pieces.append(piece)
                    start = end
                    break
            else:
                return [self._ids[UNKNOWN]]
        return pieces


def _words(text: str) -> Iterator[_Word]:
    """Lower-case words without accents; a punctuation mark or a Chinese character is a word of its own."""
    word: list[str] = []
    begin = 0
    for place, raw in enumerate(text):
        for character in _plain(raw):
            alone = _stands_alone(character)
            if word and (alone or character.isspace()):
                yield _Word(begin, place, "".join(word))
                word.clear()
            if alone:
                yield _Word(place, place + 1, character)
            elif not character.isspace():
                if not word:
                    begin = place
                word.append(character)
    if word:
        yield _Word(begin, len(text), "".join(word))


def _plain(character: str) -> str:
    """The character in lower case without accents; nothing for a control character."""
    if character.isascii():
        return character.lower() if character.isprintable() or character in "\t\n\r" else ""
    # Not those that Unicode has not assigned: the next Python may know them as letters.
    if character == "\N{REPLACEMENT CHARACTER}" or unicodedata.category(character) in ("Cc", "Cf", "Co"):
        return ""
    parts = unicodedata.normalize("NFD", character)
    return "".join(part for part in parts if unicodedata.category(part) != "Mn").lower()


def _stands_alone(character: str) -> bool:
    if character.isascii():
        return not character.isalnum() and character.isprintable() and character != " "
    code = ord(character)
    return unicodedata.category(character).startswith("P") or any(
        first <= code <= last for first, last in IDEOGRAPHS
    )
