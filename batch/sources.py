"""What is to be ingested: a folder by category, a manifest, or a bucket, listed in a fixed order.

Nothing here opens a picture. Two listings of the same source are equal, item by item, which is what lets
an interrupted ingestion be started again with the same result.
"""

from __future__ import annotations

import csv
import io
import json
import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast
from urllib.parse import urlsplit

import pyarrow.parquet
from obstore.exceptions import BaseError

from semblance.errors import ConfigurationError, SemblanceError
from semblance.storage import local_path, open_bucket
from semblance.types import Gender

METADATA_FILE = "metadata.json"
MANIFEST_SUFFIXES = (".csv", ".jsonl", ".ndjson", ".parquet")
COLUMNS = ("image", "name", "bio", "category", "gender")

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True, slots=True)
class Item:
    """One picture to ingest.

    label: how reports name it: the path below the source, or what the manifest says.
    location: an absolute path, or an s3://, https:// or http:// URL.
    """

    label: str
    location: str
    name: str
    bio: str | None
    category: str | None
    gender: Gender | None


@dataclass(frozen=True, slots=True)
class BadEntry:
    """An entry of a manifest or of metadata.json that names no usable picture.

    missing: whether its file does not exist; otherwise the entry itself is wrong.
    """

    label: str
    reason: str
    missing: bool = False


Entry = Item | BadEntry


class SourceError(ConfigurationError):
    """The source does not exist, cannot be read or holds nothing."""

    code = "source"


class _EntryError(Exception):
    """What is wrong with one entry."""


def list_source(source: str, default_category: str | None = None) -> list[Entry]:
    """Every entry of a source: a folder or manifest by path or file:// URL, or the same by s3:// URL.

    Folder: `<category>/<picture>` with an optional metadata.json, entries in the order of their paths,
    then those of metadata.json without a file. Manifest: CSV with a header, JSON lines or Parquet with
    the columns of COLUMNS, of which only image is required, in its own order. default_category goes to
    pictures that state none.

    Raises SourceError where it cannot be read, is malformed as a whole or holds nothing.
    """
    if _SCHEME.match(source) and urlsplit(source).scheme != "file":
        if urlsplit(source).scheme != "s3":
            raise SourceError(f"{source} is not a source: give a folder, a manifest or s3://bucket/prefix.")
        entries = _from_bucket(source.rstrip("/"), default_category)
    else:
        path = (local_path(source) if _SCHEME.match(source) else Path(source)).expanduser().absolute()
        entries = _from_disk(path, default_category)
    if not entries:
        raise SourceError(f"{source} holds no pictures: nothing to ingest.")
    return entries


def _from_disk(path: Path, default_category: str | None) -> list[Entry]:
    try:
        if path.is_dir():
            paths = sorted(_walk(path))
            metadata = (path / METADATA_FILE).read_bytes() if METADATA_FILE in paths else None
            return _folder(f"{path}/", paths, metadata, default_category)
        if path.suffix.lower() in MANIFEST_SUFFIXES:
            return _manifest(f"{path.parent}/", path.suffix.lower(), path.read_bytes(), default_category)
    except OSError as exc:
        raise SourceError(f"{path} cannot be read: {exc.strerror or exc}.") from exc
    if not path.exists():
        raise SourceError(f"There is no folder or manifest {path}.")
    raise SourceError(f"{path} is neither a folder nor a manifest ({', '.join(MANIFEST_SUFFIXES)}).")


def _from_bucket(url: str, default_category: str | None) -> list[Entry]:
    base, _, name = url.rpartition("/")
    suffix = PurePosixPath(name).suffix.lower()
    try:
        if suffix in MANIFEST_SUFFIXES and not base.endswith("/"):
            return _manifest(f"{base}/", suffix, bytes(open_bucket(base).get(name).bytes()), default_category)
        bucket = open_bucket(url)
        found = [(meta["path"], meta["size"]) for chunk in bucket.list() for meta in chunk]
        paths = sorted(path for path, size in found if not _left_out(path, size))
        metadata = bytes(bucket.get(METADATA_FILE).bytes()) if METADATA_FILE in paths else None
    except (BaseError, OSError) as exc:
        raise SourceError(f"{url} cannot be read: {str(exc).partition(chr(10))[0]}") from exc
    return _folder(f"{url}/", paths, metadata, default_category)


def _walk(root: Path) -> Iterator[str]:
    """Paths of the files below root, relative, with forward slashes; links are followed, each folder
    once. Names that begin with a dot are the file system's or an editor's own and are left out."""
    seen = set()
    for folder, folders, files in os.walk(root, onerror=_refuse, followlinks=True):
        identity = Path(folder).stat()
        if (identity.st_dev, identity.st_ino) in seen:
            folders.clear()
            continue
        seen.add((identity.st_dev, identity.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = os.path.relpath(folder, root)
        for name in files:
            if not name.startswith("."):
                yield name if relative == "." else f"{relative}/{name}"


def _refuse(error: OSError) -> None:
    """A folder that cannot be listed would be left out silently."""
    raise SourceError(f"{error.filename} cannot be read: {error.strerror}.") from error


def _left_out(path: str, size: int) -> bool:
    """Hidden objects, as in a folder, and the empty ones by which consoles mark a folder."""
    marker = size == 0 and not PurePosixPath(path).suffix
    return marker or any(part.startswith(".") for part in path.split("/"))


def _folder(
    base: str, paths: Sequence[str], metadata: bytes | None, default_category: str | None
) -> list[Entry]:
    """Entries of a folder by category, given the paths in it and the content of its metadata.json."""
    pictures = [path for path in paths if path != METADATA_FILE]
    described, unmatched = _match_metadata(
        pictures, [] if metadata is None else _read_metadata(base, metadata)
    )
    entries: list[Entry] = []
    for path in pictures:
        folder_category = path.split("/")[0] if "/" in path else default_category
        fields = described.get(path, {})
        entries.append(_entry(path, base + path, fields, folder_category))
    return entries + unmatched


def _read_metadata(base: str, content: bytes) -> list[Any]:
    """The entries of metadata.json: {"celebrities": [{filename, name, bio, category, gender}]}, or the
    list alone."""
    try:
        parsed = json.loads(content)
    except ValueError as exc:
        raise SourceError(f"{base}{METADATA_FILE} is not valid JSON: {exc}.") from exc
    entries = parsed.get("celebrities") if isinstance(parsed, dict) else parsed
    if not isinstance(entries, list):
        raise SourceError(f'{base}{METADATA_FILE} must hold {{"celebrities": [...]}}.')
    return entries


def _match_metadata(
    pictures: Sequence[str], entries: Iterable[Any]
) -> tuple[dict[str, Mapping[str, Any]], list[Entry]]:
    """Which entry describes which picture, and the entries that describe none.

    An entry's filename is a path below the source, or a bare name: in the folder of its category, else
    wherever the name occurs once.
    """
    by_name = defaultdict(list)
    for path in pictures:
        by_name[posixpath.basename(path)].append(path)
    known = set(pictures)
    described: dict[str, Mapping[str, Any]] = {}
    unmatched: list[Entry] = []
    for number, entry in enumerate(entries, 1):
        filename = entry.get("filename") if isinstance(entry, dict) else None
        if not isinstance(filename, str) or not filename:
            unmatched.append(BadEntry(f"{METADATA_FILE}#{number}", "the entry has no filename"))
            continue
        in_category = f"{entry.get('category')}/{filename}"
        candidates = [path for path in (in_category, filename) if path in known] or by_name[filename]
        if not candidates:
            label = in_category if entry.get("category") else filename
            unmatched.append(
                BadEntry(label, f"{METADATA_FILE} names it, but there is no such file", missing=True)
            )
        elif len(candidates) > 1 and in_category not in known:
            reason = f"several files have this name ({', '.join(candidates[:3])}); write the path"
            unmatched.append(BadEntry(f"{METADATA_FILE}#{number} {filename}", reason))
        elif candidates[0] in described:
            reason = f"a second entry for {candidates[0]}; the first counts"
            unmatched.append(BadEntry(f"{METADATA_FILE}#{number} {filename}", reason))
        else:
            described[candidates[0]] = entry
    return described, unmatched


def _manifest(base: str, suffix: str, content: bytes, default_category: str | None) -> list[Entry]:
    """Entries of a manifest; relative images lie below base, the folder or URL of the manifest."""
    rows = {
        ".csv": _csv_rows,
        ".jsonl": _json_rows,
        ".ndjson": _json_rows,
        ".parquet": _parquet_rows,
    }[suffix]
    entries: list[Entry] = []
    try:
        for number, row in rows(content):
            image = row.get("image") if isinstance(row, dict) else None
            if not isinstance(image, str) or not image.strip():
                entries.append(BadEntry(f"row {number}", "the row names no image"))
                continue
            if None in row:
                entries.append(BadEntry(image.strip(), "more fields than the header has; quote the commas"))
                continue
            try:
                location = _join(base, image.strip())
            except SemblanceError as exc:
                entries.append(BadEntry(image.strip(), exc.message))
                continue
            entries.append(_entry(image.strip(), location, row, default_category))
    except (ValueError, csv.Error, pyarrow.ArrowException) as exc:
        raise SourceError(f"The manifest in {base} cannot be read: {exc}") from exc
    return entries


def _csv_rows(content: bytes) -> Iterator[tuple[int, Mapping[str, Any]]]:
    # utf-8-sig: spreadsheet programs write a byte-order mark that would become part of the first column.
    reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
    _require_image_column(reader.fieldnames or [])
    for row in reader:
        yield reader.line_num, row


def _json_rows(content: bytes) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(content.decode("utf-8-sig").split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError:
                yield number, {}


def _parquet_rows(content: bytes) -> Iterator[tuple[int, Mapping[str, Any]]]:
    file = pyarrow.parquet.ParquetFile(io.BytesIO(content))
    names = file.schema_arrow.names
    _require_image_column(names)
    number = 0
    for batch in file.iter_batches(columns=[name for name in COLUMNS if name in names]):
        for row in batch.to_pylist():
            number += 1
            yield number, row


def _require_image_column(names: Iterable[str]) -> None:
    if "image" not in names:
        raise SourceError(f"The manifest has no column image; its columns are {', '.join(COLUMNS)}.")


def _join(base: str, image: str) -> str:
    """The absolute location of an image that a manifest names."""
    if not _SCHEME.match(image):
        return base + image if not image.startswith("/") or base.startswith("s3:") else image
    scheme = urlsplit(image).scheme
    if scheme == "file":
        return str(local_path(image))
    if scheme not in {"s3", "https", "http"}:
        raise ConfigurationError(f"{scheme}:// is not supported; use a path, s3://, https:// or http://")
    return image


def _entry(label: str, location: str, fields: Mapping[str, Any], default_category: str | None) -> Entry:
    """An item from a picture and what a manifest or metadata.json says of it."""
    try:
        return Item(
            label=label,
            location=location,
            name=_text(fields, "name") or _name_of(label),
            bio=_text(fields, "bio"),
            category=_text(fields, "category") or _clean(default_category, "category"),
            gender=_gender(fields),
        )
    except _EntryError as exc:
        return BadEntry(label, str(exc))


def _text(fields: Mapping[str, Any], column: str) -> str | None:
    value = fields.get(column)
    if value is not None and not isinstance(value, str):
        raise _EntryError(f"{column} must be text, not {value!r}")
    return _clean(value, column)


def _clean(value: str | None, column: str) -> str | None:
    """Text that PostgreSQL can hold; blank counts as absent."""
    if value is None or not value.strip():
        return None
    if "\0" in value:
        raise _EntryError(f"{column} holds a NUL character, which a database cannot store")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _EntryError(f"{column} is not valid Unicode; state it in the metadata") from None
    return value.strip()


def _gender(fields: Mapping[str, Any]) -> Gender | None:
    value = (_text(fields, "gender") or "").lower()
    if value not in {"", "male", "female"}:
        raise _EntryError(f"gender must be male, female or absent, not {fields['gender']!r}")
    return cast(Gender, value) if value else None


def _name_of(label: str) -> str:
    """A name from a file name: `rose-leslie_2.jpg` is Rose Leslie 2."""
    stem = PurePosixPath(urlsplit(label).path if _SCHEME.match(label) else label).stem
    words = re.sub(r"[\s_-]+", " ", stem).strip()
    name = " ".join(word[:1].upper() + word[1:] for word in words.split(" "))
    return _clean(name, "name (from the file name)") or stem
