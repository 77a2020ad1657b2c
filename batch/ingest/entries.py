"""One input of an ingestion: a picture with its metadata, or the reason why it cannot be used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal, TypeAlias, cast
from urllib.parse import urlsplit
from uuid import UUID, uuid5

from batch.ingest.spelling import composed
from semblance.names import MAX_LENGTH, usable_name
from semblance.types import Gender

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")

_HASH = re.compile(r"[0-9a-f]{32}")

PERSON_NAMESPACE = UUID("6a5b1c1e-3f0e-5d0b-8a51-6a4cf5d8c2b9")
"""People whom a source names by anything but a UUID have the UUIDv5 of that in this namespace."""

Acceptance: TypeAlias = Literal["largest", "any"]
"""`largest`: the largest face of a picture with several. `any`: also a face of low quality."""

BadOutcome: TypeAlias = Literal["missing", "duplicate", "unreadable", "too_large", "invalid_metadata"]


@dataclass(frozen=True, slots=True)
class Item:
    """One picture to ingest.

    label: its name in reports: the path below the source, or what the manifest has. Text is in Unicode's
    composed form (NFC). location: an absolute path as the file system spells it, or an s3://, https:// or
    http:// URL. person: whom it shows; None: the person of this name and category. row: number of the
    manifest's line, from 1; None in a folder. image_hash: by which the gallery knows the picture, hex MD5, if
    an export states it; None: that of the file. accept: what is taken of this picture beyond the rules.
    """

    label: str
    location: str
    name: str
    bio: str | None
    category: str | None
    gender: Gender | None
    person: UUID | None = None
    image_hash: str | None = None
    accept: Acceptance | None = None
    row: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class BadEntry:
    """An input that is not a usable picture. row: as in Item."""

    label: str
    reason: str
    outcome: BadOutcome = "invalid_metadata"
    row: int | None = field(default=None, compare=False)


Entry: TypeAlias = Item | BadEntry


class _EntryError(Exception):
    """One entry is invalid."""


def make_entry(
    label: str,
    location: str,
    fields: Mapping[str, Any],
    default_category: str | None,
    row: int | None = None,
) -> Entry:
    """An item from a picture and its metadata, by the names of FIELDS."""
    try:
        return Item(
            label=label,
            location=location,
            name=_name(fields, label),
            bio=_text(fields, "bio"),
            category=_text(fields, "category") or _clean(default_category, "category"),
            gender=_gender(fields),
            person=_person(fields),
            image_hash=_image_hash(fields),
            accept=_accept(fields),
            row=row,
        )
    except _EntryError as exc:
        return BadEntry(label, str(exc), row=row)


def _text(fields: Mapping[str, Any], column: str) -> str | None:
    value = fields.get(column)
    if value is not None and not isinstance(value, str):
        raise _EntryError(f"{column} must be text, not {value!r}")
    return _clean(value, column)


def _clean(value: str | None, column: str) -> str | None:
    """Text that PostgreSQL can store, composed; blank text counts as absent."""
    if value is None or not value.strip():
        return None
    if "\0" in value:
        raise _EntryError(f"{column} holds a NUL character, which a database cannot store")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _EntryError(f"{column} is not valid Unicode; state it in the metadata") from None
    return composed(value.strip())


def _gender(fields: Mapping[str, Any]) -> Gender | None:
    value = (_text(fields, "gender") or "").lower()
    if value not in {"", "male", "female"}:
        raise _EntryError(f"gender must be male, female or absent, not {fields['gender']!r}")
    return cast(Gender, value) if value else None


def _person(fields: Mapping[str, Any]) -> UUID | None:
    """The id of the stated person: as an export has it, or one that follows from what the source calls
    them."""
    value = _text(fields, "person")
    if value is None:
        return None
    try:
        return UUID(value)
    except ValueError:
        return uuid5(PERSON_NAMESPACE, value)


def _image_hash(fields: Mapping[str, Any]) -> str | None:
    value = _text(fields, "image_hash")
    if value is not None and not _HASH.fullmatch(value):
        raise _EntryError(f"image_hash must be the 32 hexadecimal digits of an MD5, not {value!r}")
    return value


def _accept(fields: Mapping[str, Any]) -> Acceptance | None:
    value = _text(fields, "accept")
    if value not in {None, "largest", "any"}:
        raise _EntryError(f"accept must be largest, any or absent, not {value!r}")
    return cast(Acceptance | None, value)


def _name(fields: Mapping[str, Any], label: str) -> str:
    """The stated name, else one from the file name, by the rules for all names."""
    stated = _text(fields, "name")
    try:
        return usable_name(stated or _name_of(label))
    except ValueError as exc:
        reason = str(exc).rstrip(".")
        raise _EntryError(reason if stated else f"{reason}; state one, the file name gives none") from exc


def _name_of(label: str) -> str:
    """A name from a file name: `rose-leslie_2.jpg` is Rose Leslie 2. Cut, since file names may be longer."""
    stem = PurePosixPath(urlsplit(label).path if SCHEME.match(label) else label).stem
    words = re.sub(r"[\s_-]+", " ", stem).strip()
    name = " ".join(word[:1].upper() + word[1:] for word in words.split(" "))
    return (_clean(name, "name (from the file name)") or stem)[:MAX_LENGTH]
