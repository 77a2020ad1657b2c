"""Cuts long texts into chunks that a model reads whole."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Self

from deployments.packs.manifest import read_document
from deployments.texts.manifest import TextManifest
from deployments.texts.word_pieces import WordPieces

MAX_CHUNKS: Final = 24
"""Most chunks of a text; of a longer one, the beginning counts. The longest message, 4,000 characters, is 18
chunks if each character is a token, as in Chinese; in English it is 5."""

_OVERLAP: Final = 1 / 8
"""Share of a chunk that the next one repeats, so that a sentence at their border is whole in one of them."""


class TextCutter:
    """Cuts texts between words, by the tokens of a vocabulary."""

    def __init__(self, pieces: WordPieces, max_tokens: int) -> None:
        """
        Args:
            max_tokens: of a chunk, with its first and its last.
        """
        self._pieces = pieces
        self._room = max_tokens - 2

    @classmethod
    def of_pack(cls, folder: Path) -> Self:
        """By the limit of a text pack. Raises PackError."""
        manifest = read_document(folder, TextManifest)
        return cls(WordPieces(folder / manifest.vocabulary), manifest.max_tokens)

    def cut(self, text: str) -> list[str]:
        """The chunks of a text, at least one; the text itself if it is short enough."""
        words: list[tuple[int, int, int]] = []
        length = 0
        for word in self._pieces.words(text):
            words.append(word)
            length += word[2]
            # Somebody may have stored a book.
            if length > self._room * MAX_CHUNKS:
                break
        if length <= self._room:
            return [text]
        chunks: list[str] = []
        first = 0
        while len(chunks) < MAX_CHUNKS:
            # A word alone may be longer than a chunk; its beginning counts.
            last, taken = first + 1, words[first][2]
            while last < len(words) and taken + words[last][2] <= self._room:
                taken += words[last][2]
                last += 1
            chunks.append(text[words[first][0] : words[last - 1][1]])
            if last == len(words):
                break
            repeated, begin = words[last - 1][2], last
            while begin > first + 1 and repeated <= self._room * _OVERLAP:
                begin -= 1
                repeated += words[begin - 1][2]
            first = begin
        return chunks
