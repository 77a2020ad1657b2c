"""Finds out which column of a manifest, or key of JSON, holds which field. No column is dropped silently."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Mapping, Sequence

IMAGE = "image"

SYNONYMS: dict[str, tuple[str, ...]] = {
    IMAGE: (
        *("image", "imageurl", "imagepath", "imagefile", "imagefilename", "imagename", "images", "img"),
        *("imgurl", "imgpath", "file", "filename", "filepath", "photo", "photourl", "photopath", "picture"),
        *("pictureurl", "picturepath", "path", "url", "uri", "src", "location"),
    ),
    "name": ("name", "fullname", "displayname", "personname", "celebrityname", "person", "celebrity"),
    "bio": ("bio", "biography", "description", "about"),
    "category": ("category", "categoryname", "group"),
    "gender": ("gender", "sex"),
    "person": ("personid", "person"),
    "image_hash": ("imagehash",),
    "accept": ("accept",),
}
"""The names of each field's columns, in order of preference, without case, spaces and punctuation."""

FIELDS = tuple(SYNONYMS)

_REMARKS = 20
"""Most remarks on one source: JSON may have any number of keys."""


class Columns:
    """Matches the columns of one source, and remembers those that were not used. place: the name of the
    source. synonyms: the fields it may have."""

    def __init__(self, place: str, synonyms: Mapping[str, tuple[str, ...]] = SYNONYMS) -> None:
        self.found: dict[str, None] = {}
        self._place = place
        self._synonyms = synonyms
        self._unused: dict[str, str] = {}
        self._matched: dict[tuple[str, ...], dict[str, int]] = {}

    def match(self, names: Sequence[str]) -> dict[str, int]:
        """The place in `names` of each field that is present."""
        key = tuple(names)
        if (matched := self._matched.get(key)) is None:
            matched = match_columns(names, self._synonyms)
            if len(self._matched) < _REMARKS:
                self._matched[key] = matched
            self._remember(names, matched)
        return matched

    @property
    def remarks(self) -> list[str]:
        """A sentence about each column that was not used, with the nearest known name."""
        return [f"The column {name!r} of {self._place} {why}" for name, why in self._unused.items()]

    def _remember(self, names: Sequence[str], matched: dict[str, int]) -> None:
        for place, name in enumerate(names):
            if len(self.found) < _REMARKS:
                self.found[name] = None
            if place in matched.values() or not name.strip() or name in self._unused:
                continue
            if len(self._unused) < _REMARKS:
                self._unused[name] = self._why_unused(name, names, matched)

    def _why_unused(self, name: str, names: Sequence[str], matched: dict[str, int]) -> str:
        fields = {synonym: field for field, synonyms in self._synonyms.items() for synonym in synonyms}
        key = _key(name)
        if (field := fields.get(key)) and field in matched:
            return f"was ignored: {names[matched[field]]!r} gives the {field}."
        near = difflib.get_close_matches(key, fields, n=1)
        return "is not known and was ignored" + (f"; is it {fields[near[0]]!r}?" if near else ".")


def match_columns(names: Sequence[str], synonyms: Mapping[str, tuple[str, ...]] = SYNONYMS) -> dict[str, int]:
    """The place in `names` of each field; of several columns for one field, the preferred one."""
    keys = [_key(name) for name in names]
    matched: dict[str, int] = {}
    for field, known in synonyms.items():
        place = next((keys.index(synonym) for synonym in known if synonym in keys), None)
        if place is not None:
            matched[field] = place
    # A column `person` without another name is the name.
    if matched.get("person") == matched.get("name"):
        matched.pop("person", None)
    return matched


def _key(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(character for character in folded if character.isalnum())
