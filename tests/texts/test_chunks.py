"""Long texts, cut into chunks that a model reads whole."""

from __future__ import annotations

import pytest

from deployments.texts.chunks import MAX_CHUNKS, TextCutter
from deployments.texts.manifest import MINILM
from deployments.texts.word_pieces import WordPieces

LONG = " ".join(f"Sentence {number} is about volcanoes, jazz and bread." for number in range(60))


@pytest.fixture(scope="module")
def pieces() -> WordPieces:
    return WordPieces(MINILM / "vocab.txt")


@pytest.fixture(scope="module")
def cutter() -> TextCutter:
    return TextCutter.of_pack(MINILM)


@pytest.mark.parametrize("text", ["Hi", "", " \n", "word " * 254, "x" * 1_000_000])
def test_a_text_that_a_model_reads_whole_stays_whole(cutter: TextCutter, text: str) -> None:
    assert cutter.cut(text) == [text]


@pytest.mark.parametrize(
    "text",
    [
        LONG,
        " ".join(map(str, range(100, 355))),
        "".join(chr(0x4E00 + number) for number in range(1000)),
        "".join(f"Naïve {number} café — " for number in range(100)),
    ],
    ids=["English", "just too long", "Chinese", "accents"],
)
def test_the_chunks_of_a_text_overlap_and_have_all_of_it(
    cutter: TextCutter, pieces: WordPieces, text: str
) -> None:
    chunks = cutter.cut(text)
    assert len(chunks) > 1
    place = end = 0
    for number, chunk in enumerate(chunks):
        assert len(pieces.ids(chunk, 10_000)) <= 256
        place = text.index(chunk, place + bool(number))
        # With no gap but blanks, and with some words twice.
        assert place < end or number == 0
        end = place + len(chunk)
    assert text[end:].strip() == ""
    # Each chunk but the last is full, to a word.
    assert all(len(pieces.ids(chunk, 10_000)) > 256 - 10 for chunk in chunks[:-1])


def test_tokens_of_a_chunk_are_those_of_its_place_in_the_text(cutter: TextCutter, pieces: WordPieces) -> None:
    first = cutter.cut(LONG)[0]
    assert pieces.ids(first, 10_000)[:-1] == pieces.ids(LONG, 10_000)[: len(pieces.ids(first, 10_000)) - 1]


def test_of_a_book_the_beginning_counts(cutter: TextCutter) -> None:
    chunks = cutter.cut("深" * 1_000_000)
    assert len(chunks) == MAX_CHUNKS


def test_a_word_that_is_longer_than_a_chunk_is_alone_in_one(pieces: WordPieces) -> None:
    assert TextCutter(pieces, 3).cut("antidisestablishmentarianism is long") == [
        "antidisestablishmentarianism",
        "is",
        "long",
    ]
