"""Texts by templates, made on this machine: what two profiles share, and what their faces have in common.

They understand nothing of what anybody wrote, and do not pretend to: the model is called `local`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from db.inference_jobs import Author, Use
from db.text_subjects import TextSubject
from deployments.writing.writer import OnText, WrittenText

_REPLIES: Final = (
    "Thanks for your message{author}! {likeness} What do you think?",
    "Nice to hear from you{author}! {likeness} Would people take us for family?",
    "Hi{author}! {likeness} What was your first thought when you saw the match?",
)
_QUESTIONED: Final = (
    "Good question{author}! {likeness} What do you think yourself?",
    "Let me think about that{author}. {likeness} What would you say?",
)
_ICEBREAKERS: Final = (
    "Hi{reader}! {likeness} Do you see it, too?",
    "Hello{reader}! {likeness} Has anybody ever taken you for somebody else?",
    "Hi{reader}! {likeness} Which of us would our friends recognize first?",
)


class LocalWriter:
    """The same subject gives the same text."""

    def __init__(self) -> None:
        self.author = Author("local", "local")

    async def write(self, subject: TextSubject, on_text: OnText) -> WrittenText:
        """As `TextWriter` says; never raises."""
        text = compose(subject)
        await on_text(text)
        return WrittenText(text, Use(0, 0, 0.0))

    async def close(self) -> None:
        """Nothing to release."""


def compose(subject: TextSubject) -> str:
    """The text about a subject."""
    if subject.kind == "icebreaker":
        templates: Sequence[str] = _ICEBREAKERS
    elif "?" in subject.content:
        templates = _QUESTIONED
    else:
        templates = _REPLIES
    return templates[subject.seed % len(templates)].format(
        author=_called(subject.author_name), reader=_called(subject.reader_name), likeness=_likeness(subject)
    )


def _called(name: str | None) -> str:
    return f", {name}" if name else ""


def _likeness(subject: TextSubject) -> str:
    said = f"Our faces match by {subject.percentage} %"
    if subject.most_alike:
        said += f", most of all in {' and '.join(subject.most_alike)}"
    if subject.school:
        said += f", and we are both at {subject.school}"
    return said + "."
