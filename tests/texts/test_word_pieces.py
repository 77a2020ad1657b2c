"""Tokens as the library `tokenizers` makes them, with the vocabulary that ships."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deployments.texts.manifest import MINILM
from deployments.texts.word_pieces import WordPieces
from semblance.errors import PackError

KNOWN: list[tuple[str, list[int]]] = json.loads(Path(__file__).with_name("word_pieces.json").read_text())
"""Texts and what `tokenizers` 0.22 makes of them with the published tokenizer.json."""


@pytest.fixture(scope="module")
def pieces() -> WordPieces:
    return WordPieces(MINILM / "vocab.txt")


@pytest.mark.parametrize(("text", "ids"), KNOWN, ids=[ascii(text) for text, _ in KNOWN])
def test_tokens_are_those_of_the_library(pieces: WordPieces, text: str, ids: list[int]) -> None:
    assert pieces.ids(text, 1000) == ids


def test_a_text_cannot_name_a_token_with_a_meaning(pieces: WordPieces) -> None:
    first, *between, last = pieces.ids("one [SEP] two [CLS]", 100)
    assert (first, last) == (101, 102)
    assert not {101, 102}.intersection(between)


def test_a_long_text_is_read_to_the_limit_and_still_ends(pieces: WordPieces) -> None:
    ids = pieces.ids("word " * 100_000, 256)
    assert len(ids) == 256
    assert ids[-1] == 102


def test_a_vocabulary_without_the_needed_tokens_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[UNK]\nword\n")
    with pytest.raises(PackError, match=r"lacks \[CLS\], \[SEP\]"):
        WordPieces(tmp_path / "vocab.txt")
