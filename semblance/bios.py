"""What people may say about themselves."""

from __future__ import annotations

import re
from typing import Final

from semblance.names import has_refused, is_visible, tidy_line

MAX_LENGTH: Final = 500
"""Characters of a bio, once it is tidied. The text pack that ships reads 256 tokens, which is about 1,000
characters of English: it reads a bio whole."""

_LINES: Final = re.compile("\r\n|[\n\r\v\f\x85\u2028\u2029]")
_GAPS: Final = re.compile("\n{3,}")


def usable_bio(text: str) -> str:
    """The bio as it is stored: each line as `usable_name` stores a name, at most one empty line between two.

    Raises ValueError, with a sentence, for a bio that is blank, is longer than `MAX_LENGTH`, or contains
    characters that no name has.
    """
    bio = _GAPS.sub("\n\n", "\n".join(map(tidy_line, _LINES.split(text.replace("\t", " ")))).strip("\n"))
    if any(map(has_refused, bio.split("\n"))):
        raise ValueError("A bio has no control characters or other invisible characters.")
    if not is_visible(bio):
        raise ValueError("A bio needs something to see.")
    if len(bio) > MAX_LENGTH:
        raise ValueError(f"A bio has at most {MAX_LENGTH} characters.")
    return bio
