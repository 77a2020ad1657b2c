"""What a person's name may contain. The rules hold for names from all sources.

db/migrations/0014_names.up.sql says the same in SQL, for accounts that begin in the database; a test
keeps the two equal. Characters are therefore given by code points, which mean the same in both, and not by
categories, which change with the version of Unicode.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

MAX_LENGTH: Final = 100
"""Characters of a name, once it is normalised."""

_DROPPED: Final = re.compile("[\u00ad\u034f\u061c\u200e\u200f\u2060\ufeff]")
"""Invisible characters that copied names bring along: soft hyphen, grapheme joiner, direction marks, word
joiner, byte order mark."""

_SPACES: Final = re.compile("[ \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")

_VIRAMAS: Final = (
    "\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d3b\u0d3c\u0d4d\u0dca"
    "\u1039\u103a\u17d2\u1b44\u1baa\ua9c0"
)
"""Of Indic and neighbouring scripts."""

_CURSIVE: Final = "\u0600-\u08ff\u1800-\u18af\ua840-\ua873\ufb50-\ufdff\ufe70-\ufefc\U0001e900-\U0001e95f"
"""Arabic, Syriac, Mandaic and N'Ko, Mongolian, Phags-pa, Adlam: letters that join their neighbours."""

_PICTOGRAPHS: Final = "\u2190-\u2bff\ufe0f\U0001f000-\U0001faff"

_JOINING: Final = re.compile(
    f"(?<=[{_VIRAMAS}])[\u200c\u200d]"
    f"|\u200d(?=[{_VIRAMAS}])"
    f"|(?<=[{_CURSIVE}])[\u200c\u200d](?=[{_CURSIVE}])"
    f"|(?<=[{_PICTOGRAPHS}])\u200d(?=[{_PICTOGRAPHS}])"
)
"""Joiners and non-joiners that change how a name is written: at the virama of Indic scripts, between letters
of cursive scripts, between the parts of a pictograph (RFC 5892, appendix A; Unicode TR 51). Elsewhere they
are invisible and would only turn one name into two."""

_REFUSED: Final = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # controls
    "\u200b-\u200d\u2028-\u202e\u2061-\u206f"  # spaces without width, line breaks, overrides of direction
    "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u180e\ufff0-\ufffb"  # other format characters
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
    "\u115f\u1160\u3164\uffa0\u2800\ufffc\U0001d159\U00013441\U00013442"  # blank
    "\ud800-\udfff"  # surrogates
    "\ue000-\uf8ff\U000f0000-\U0010ffff"  # private use
    "\ufdd0-\ufdef\ufffe\uffff"  # noncharacters
    "]"
)


def usable_name(text: str) -> str:
    """The name as it is stored: composed (NFC), without invisible characters, one space between words.

    Raises ValueError, with a sentence, for a name that is blank, is longer than `MAX_LENGTH`, or contains
    characters that no name has: line breaks and other controls, direction overrides, private-use characters,
    and joiners that join nothing.
    """
    name = tidy_line(text)
    if has_refused(name):
        raise ValueError("A name has no line breaks, control characters or other invisible characters.")
    if not is_visible(name):
        raise ValueError("A name needs something to see.")
    if len(name) > MAX_LENGTH:
        raise ValueError(f"A name has at most {MAX_LENGTH} characters.")
    return name


def tidy_line(text: str) -> str:
    """The text composed (NFC), without characters that copies bring along, one space between words."""
    line = _DROPPED.sub("", unicodedata.normalize("NFC", text))
    return _SPACES.sub(" ", line.strip(" \t\n\v\f\r")).strip(" ")


def has_refused(line: str) -> bool:
    """Whether a tidy line contains characters that nobody writes: controls, direction overrides, ..."""
    return _REFUSED.search(_JOINING.sub("", line)) is not None


def is_visible(line: str) -> bool:
    """Whether there is something to see."""
    return any(map(_shows, line))


def _shows(character: str) -> bool:
    return unicodedata.category(character)[0] not in "ZM" and not _REFUSED.match(character)
