"""What is shown of a text: plain text, and not much of it. And the templates, and the list of words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from db.text_subjects import TextSubject
from deployments.writing.local import LocalWriter, compose
from deployments.writing.moderation import BLOCKED, WordList, read_words
from deployments.writing.opening import open_writer
from deployments.writing.shown import MAX_TEXT, shown, shown_so_far
from semblance.errors import ConfigurationError
from semblance.settings import Settings

SUBJECT = TextSubject("reply", "Hi!", "Ada", "Bob", "mit", 87, ["the age"], [], 0)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("  Hello,\n\nAda!  ", "Hello, Ada!"),
        ('"Hello, Ada!"', "Hello, Ada!"),
        ("**Hello**, _Ada_!", "Hello, Ada!"),
        ("# Hello\n- Ada\n1. Bob", "Hello Ada Bob"),
        ("<b>Hello</b> <script src=x>Ada", "Hello Ada"),
        ("Hello <img src=x onerror=alert(1)", "Hello"),
        ("See [this](https://evil.example/?q=1) now", "See this now"),
        ("![pixel](https://evil.example/p.png)Hi", "pixelHi"),
        ("Look at https://evil.example/x and www.evil.example", "Look at and"),
        ("javascript:alert(1) Hi", "Hi"),
        ("```python\nimport os\n```Hi", "Hi"),
        ("Hi\u202e\u200b\x00 Ada", "Hi Ada"),
        ("I have 3 * 4 cats, and you?", "I have 3 * 4 cats, and you?"),
        ("<3 your message, don't you?", "<3 your message, don't you?"),
        ("Grüße, wie geht's? 你好！", "Grüße, wie geht's? 你好！"),  # noqa: RUF001
        ("\ud800Hi", "?Hi"),
        ("   ", ""),
    ],
)
def test_a_text_is_shown_plain(text: str, seen: str) -> None:
    assert shown(text) == seen


def test_a_long_text_ends_with_a_sentence_or_a_word() -> None:
    sentences = shown("This is a sentence. " * 100)
    assert len(sentences) <= MAX_TEXT and sentences.endswith("sentence.")
    words = shown("word " * 1000)
    assert len(words) <= MAX_TEXT and words.endswith("word…")
    assert len(shown("x" * 5000)) <= MAX_TEXT


def test_the_beginning_of_a_text_leaves_out_what_may_go_on() -> None:
    assert shown_so_far("Hello Ad") == "Hello"
    assert shown_so_far("Hel") == ""
    assert shown_so_far("See [this](https://evil") == "See"


async def test_words_are_found_however_they_are_written() -> None:
    words = WordList(["bad word", "naïve"])
    for text, allowed in (
        ("A BAD\nWord.", False),
        ("Naive?", False),
        ("badly worded", True),
        ("", True),
    ):
        assert await words.allows(text) is allowed


async def test_templates_say_what_is_shared_and_are_the_same_each_time() -> None:
    first = compose(SUBJECT)
    assert first == compose(SUBJECT)
    for said in ("Ada", "87 %", "the age", "mit"):
        assert said in first
    bare = replace(SUBJECT, author_name=None, reader_name=None, school=None, most_alike=[])
    for kind in ("reply", "icebreaker"):
        for seed in range(3):
            for content in ("Hi!", "Hi?"):
                text = compose(replace(bare, kind=kind, seed=seed, content=content))
                assert "None" not in text and "87 %" in text
                assert shown(text) == text
                assert await WordList(BLOCKED).allows(text)


async def test_the_settings_choose_the_writer(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("# ours\nforbidden fruit\n", encoding="utf-8")
    writer, moderator = open_writer(Settings(text_blocked_words=words))
    assert isinstance(writer, LocalWriter) and writer.author.model == "local"
    assert isinstance(moderator, WordList)
    assert not await moderator.allows("A Forbidden fruit")
    with pytest.raises(ConfigurationError):
        read_words(tmp_path / "missing.txt")
