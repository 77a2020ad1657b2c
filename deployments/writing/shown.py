"""What is shown of a text that somebody else wrote: plain text of a few sentences."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

MAX_TEXT: Final = 500
"""Most characters of a suggested text."""

_INVISIBLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff"
    "\U000e0000-\U000e0fff]"
)
"""Controls, and characters that hide or turn around what is shown."""

_FENCE: Final = re.compile(r"```.*?(```|$)", re.DOTALL)
_IMAGE_OR_LINK: Final = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*\)")
_TAG: Final = re.compile(r"</?[A-Za-z!?][^<>]*(>|$)")
_ADDRESS: Final = re.compile(r"(?i)\b(?:[a-z][a-z0-9+.-]{1,20}://|www\.)\S+|\b(?:javascript|data|mailto):\S+")
_MARKS: Final = re.compile(
    r"(?m)^\s{0,3}(?:#{1,6}|>|[-*+]|\d{1,2}[.)])\s+|[*_~`|]{1,3}(?=\S)|(?<=\S)[*_~`|]{1,3}"
)
_SPACES: Final = re.compile(r"\s+")
_SENTENCE: Final = re.compile(r"[.!?…。！？](?=\s|$)")  # noqa: RUF001 - full-width marks end sentences, too


def shown(text: str) -> str:
    """The text without markup, addresses and invisible characters, on one line, without enclosing quotation
    marks, at most MAX_TEXT characters: up to the end of a sentence or, failing that, of a word."""
    text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode("utf-8"))
    text = _INVISIBLE.sub("", text)
    text = _FENCE.sub(" ", text)
    text = _IMAGE_OR_LINK.sub(r"\1", text)
    text = _TAG.sub(" ", text)
    text = _ADDRESS.sub("", text)
    text = _MARKS.sub("", text)
    text = _SPACES.sub(" ", text).strip()
    if len(text) > 1 and (text[0], text[-1]) in {('"', '"'), ("“", "”"), ("„", "“"), ("«", "»")}:
        text = text[1:-1].strip()
    return _cut(text)


def shown_so_far(text: str) -> str:
    """As `shown`, of the beginning of a text: without its last word, which may go on, or become markup."""
    return shown(text.rpartition(" ")[0])


def _cut(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return text
    head = text[:MAX_TEXT]
    ends = [match.end() for match in _SENTENCE.finditer(head)]
    if ends and ends[-1] > MAX_TEXT // 2:
        return head[: ends[-1]]
    return head[: MAX_TEXT - 1].rpartition(" ")[0].rstrip(" ,;:") + "…"
