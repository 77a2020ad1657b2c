"""Spellings of one name: the same letters, composed or decomposed, or in another case.

macOS and some NAS decompose the names of files (NFD: e and a combining accent), people and spreadsheets type
them composed (NFC). To a Linux file system these are two names.
"""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from functools import lru_cache
from pathlib import Path


def composed(text: str) -> str:
    """Unicode's normal form C, in which all text is stored."""
    return unicodedata.normalize("NFC", text)


def storable(text: str) -> str:
    """The text as PostgreSQL can store it: NUL and what is no character, such as a byte of a file name that
    is not UTF-8, as an escape."""
    return text.replace("\0", "\\0").encode(errors="backslashreplace").decode()


def name_key(name: str) -> str:
    """Equal for names that differ only in their normal form or case (Unicode's canonical caseless match,
    D145)."""
    return composed(unicodedata.normalize("NFD", name).casefold())


def find_other_spelling(path: Path) -> Path | None:
    """The existing file whose path is another spelling of `path`; None unless there is exactly one."""
    found = Path(path.anchor)
    for name in path.parts[1:]:
        if name == ".." or (found / name).exists():
            found /= name
            continue
        alike = _names(str(found)).get(name_key(name), [])
        # Of several, the one that differs only in its normal form.
        alike = [each for each in alike if composed(each) == composed(name)] or alike
        if len(alike) != 1:
            return None
        found /= alike[0]
    return found


@lru_cache(maxsize=4)
def _names(folder: str) -> dict[str, list[str]]:
    """The names in a folder by their key; cached, since a manifest names many files of one folder."""
    names = defaultdict(list)
    try:
        for name in os.listdir(folder):  # noqa: PTH208 - names alone
            names[name_key(name)].append(name)
    except OSError:
        return {}
    return dict(names)
