"""The contents of a folder or bucket: pictures by category, with an optional metadata.json."""

from __future__ import annotations

import json
import os
import posixpath
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.ingest.columns import IMAGE, Columns
from batch.ingest.entries import BadEntry, BadOutcome, Entry, make_entry
from batch.ingest.exclusions import Exclusions
from batch.ingest.files import kind_of
from batch.ingest.spelling import composed, name_key
from semblance.errors import SourceError

METADATA_FILE = "metadata.json"

METADATA_BYTES = 64 * 1024 * 1024
"""Largest metadata.json, which is read at once: some 300,000 entries. More need a manifest."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file below a source. path: relative to the source, with forward slashes, as the store spells it.
    location: where it is, if not at this path."""

    path: str
    location: str | None = None

    @property
    def label(self) -> str:
        """The path as people and metadata.json write it, composed."""
        return composed(self.path)


def folder_entries(
    base: str,
    found: Iterable[FoundFile | BadEntry],
    metadata: bytes | None,
    default_category: str | None,
    exclusions: Exclusions,
) -> tuple[list[Entry], list[str]]:
    """The entries of a folder or bucket at `base`, ordered by path, then those of metadata.json without a
    picture; and remarks on metadata.json. Raises SourceError if that is invalid."""
    ordered = sorted(found, key=lambda each: each.label)
    columns = Columns(METADATA_FILE)
    matched, unmatched = _match_metadata(
        [each.label for each in ordered if isinstance(each, FoundFile)],
        [] if metadata is None else _read_metadata(base, metadata),
        columns,
        exclusions,
    )
    entries: list[Entry] = []
    for each in ordered:
        if isinstance(each, BadEntry):
            entries.append(each)
            continue
        label = each.label
        category = label.split("/")[0] if "/" in label else default_category
        entries.append(make_entry(label, each.location or base + each.path, matched.get(label, {}), category))
    return entries + unmatched, columns.remarks


def walk(root: Path, exclusions: Exclusions, *, follow_links: bool) -> Iterator[FoundFile | BadEntry]:
    """The files below a folder, and what in it is not a readable file. No file is opened.

    follow_links: also out of the folder. Links within it are always followed, to each folder once: real
    folders come first, so a link never takes the place of its target.
    """
    inside = Path(os.path.realpath(root))
    seen: set[tuple[int, int]] = set()
    folders = [""]
    links: list[str] = []
    while folders or links:
        place = folders.pop() if folders else links.pop(0)
        folder = root / place
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                yield BadEntry(
                    composed(place), "it is a link to a folder that is already listed", "duplicate"
                )
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listing:
                listed = sorted(listing, key=lambda each: each.name)
        except OSError as exc:
            if not place:
                raise
            yield BadEntry(composed(place), _unreadable(exc), "unreadable")
            continue
        for each in listed:
            path = f"{place}/{each.name}" if place else each.name
            if exclusions.leaves_out(path):
                continue
            if problem := _problem(each, None if follow_links else inside):
                yield BadEntry(composed(path), *problem)
            elif each.is_dir():
                (links if each.is_symlink() else folders).append(path)
            else:
                yield FoundFile(path)


def _problem(each: os.DirEntry[str], inside: Path | None) -> tuple[str, BadOutcome] | None:
    """Why an entry is neither a folder nor a readable file; None if it is one. inside: the folder in which
    links must end; None if they may end anywhere."""
    try:
        if each.is_file(follow_symlinks=False):
            # Known from the listing, without a call for each of a million files.
            return None
        if inside is not None and each.is_symlink() and not _lies_in(inside, each.path):
            return "it is a link out of the folder; --follow-links accepts it", "unreadable"
        mode = each.stat().st_mode
    except FileNotFoundError:
        return "it is a link to a file that does not exist", "missing"
    except OSError as exc:
        return _unreadable(exc), "unreadable"
    if not stat.S_ISDIR(mode) and (kind := kind_of(mode)):
        return f"it is {kind}, not a file", "unreadable"
    return None


def _lies_in(folder: Path, link: str) -> bool:
    """Whether a link, through all further links, ends in the folder. Raises OSError if it ends nowhere."""
    return Path(os.path.realpath(link, strict=True)).is_relative_to(folder)


def _unreadable(error: OSError) -> str:
    return f"it could not be read: {error.strerror or error}"


def _read_metadata(base: str, content: bytes) -> list[Any]:
    """The entries of metadata.json: {"celebrities": [{filename, name, bio, category, gender}]}, or just the
    list."""
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise SourceError(f"{base}{METADATA_FILE} is not valid JSON: {exc}.") from exc
    entries = parsed.get("celebrities") if isinstance(parsed, dict) else parsed
    if not isinstance(entries, list):
        raise SourceError(f'{base}{METADATA_FILE} must hold {{"celebrities": [...]}}.')
    return entries


def _match_metadata(
    pictures: Sequence[str], entries: Iterable[Any], columns: Columns, exclusions: Exclusions
) -> tuple[dict[str, Mapping[str, Any]], list[Entry]]:
    """The entry of each picture that has one, and the entries without a picture.

    The filename of an entry is a path below the source, or a bare name: in the folder of its category, else
    anywhere if the name occurs once. Its normal form and case may differ from the file's.
    """
    lookup = _Lookup(pictures)
    matched: dict[str, Mapping[str, Any]] = {}
    unmatched: list[Entry] = []
    for number, entry in enumerate(entries, 1):
        fields = _fields(entry, columns)
        filename = fields.get(IMAGE)
        if not isinstance(filename, str) or not filename:
            unmatched.append(BadEntry(f"{METADATA_FILE}#{number}", "the entry has no filename"))
            continue
        filename = composed(filename)
        category = fields.get("category")
        in_category = (
            f"{composed(category)}/{filename}" if isinstance(category, str) and category else filename
        )
        candidates = lookup.find(in_category, filename)
        if not candidates:
            pattern = exclusions.pattern_for(in_category)
            why = f"{pattern} leaves it out" if pattern else "the file does not exist"
            unmatched.append(BadEntry(in_category, f"{METADATA_FILE} names it, but {why}", "missing"))
        elif len(candidates) > 1:
            reason = f"several files have this name ({', '.join(candidates[:3])}); write the path"
            unmatched.append(BadEntry(f"{METADATA_FILE}#{number} {filename}", reason))
        elif candidates[0] in matched:
            reason = f"a second entry for {candidates[0]}; the first counts"
            unmatched.append(BadEntry(f"{METADATA_FILE}#{number} {filename}", reason))
        else:
            matched[candidates[0]] = fields
    return matched, unmatched


def _fields(entry: Any, columns: Columns) -> dict[str, Any]:
    """An entry of metadata.json by the names of FIELDS; empty if it is not an object."""
    if not isinstance(entry, dict):
        return {}
    values = list(entry.values())
    return {field: values[place] for field, place in columns.match(list(entry)).items()}


class _Lookup:
    """Finds pictures by path or bare name, as written or, if that matches none, in another spelling."""

    def __init__(self, pictures: Sequence[str]) -> None:
        self._paths: list[tuple[Callable[[str], str], dict[str, list[str]]]] = []
        self._names: list[tuple[Callable[[str], str], dict[str, list[str]]]] = []
        for key in (str, name_key):
            paths, names = defaultdict(list), defaultdict(list)
            for picture in dict.fromkeys(pictures):
                paths[key(picture)].append(picture)
                names[key(posixpath.basename(picture))].append(picture)
            self._paths.append((key, paths))
            self._names.append((key, names))

    def find(self, in_category: str, filename: str) -> list[str]:
        """The pictures that an entry may mean: one, none, or several if it is ambiguous."""
        for key, paths in self._paths:
            for path in (in_category, filename):
                if found := paths.get(key(path)):
                    return found
        return next((found for key, names in self._names if (found := names.get(key(filename)))), [])
