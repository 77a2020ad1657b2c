"""Manifests: tables of pictures as CSV, JSON lines or Parquet, read as streams, row by row.

An invalid row becomes an entry with the reason, and the others are taken. A manifest is refused if it has no
column of images or no usable row.
"""

from __future__ import annotations

import csv
import json
import re
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, BinaryIO, TypeAlias
from urllib.parse import urlsplit

import pyarrow
import pyarrow.parquet

from batch.ingest.columns import FIELDS, IMAGE, Columns, match_columns
from batch.ingest.entries import SCHEME, BadEntry, Entry, make_entry
from batch.ingest.spelling import composed
from batch.ingest.text_lines import LINE_LENGTH, TextLines
from semblance.errors import ConfigurationError, SemblanceError, SourceError
from semblance.storage.opening import local_path

MOST_ROWS = 5_000_000
"""Most pictures in one manifest. The list of inputs is held in memory, some 600 bytes each."""

ROW_GROUP_BYTES = 1024 * 1024 * 1024
"""Largest row group of a Parquet file, which is unpacked at once: bytes of the columns that are read."""

_PARQUET_ROWS = 1024
"""ManifestRows of a Parquet file that become Python objects at a time."""

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}

_TOO_LONG = f"the line has more than {LINE_LENGTH:,} characters"

_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t|])"?\s*', re.IGNORECASE)
"""A first line in which Excel names the delimiter."""

ManifestRow: TypeAlias = Mapping[str, Any] | str
"""The fields of a row by the names of FIELDS, or why it is invalid."""

ManifestRows: TypeAlias = Generator[tuple[int, ManifestRow], None, None]
"""Rows with their numbers, from 1: that of the line where a row begins; in Parquet, of the row itself."""


def read_manifest(
    file: BinaryIO, suffix: str, base: str, name: str, default_category: str | None, *, limit: int | None
) -> tuple[list[Entry], list[str]]:
    """The entries of a manifest, and remarks on what was not used or is uncertain.

    Args:
        file: Seekable, at its beginning.
        suffix: One of MANIFESTS.
        base: Folder or URL of the manifest, with a slash; relative images lie below it.
        name: Of the manifest, for messages.
        limit: Take only the first rows.

    Raises SourceError if it cannot be read at all, or has no column of images or no usable row.
    """
    columns = Columns(name)
    remarks: list[str] = []
    entries: list[Entry] = []
    try:
        with closing(MANIFESTS[suffix](file, columns, remarks)) as rows:
            for number, row in islice(rows, limit):
                if len(entries) == MOST_ROWS:
                    raise SourceError(
                        f"{name} has more than {MOST_ROWS:,} rows; split it, or take the first with --limit."
                    )
                entries.append(_row_entry(number, row, base, default_category))
    except (OSError, ValueError, csv.Error, pyarrow.ArrowException) as exc:
        raise SourceError(f"{name} cannot be read: {exc}") from exc
    if entries and all(isinstance(entry, BadEntry) for entry in entries):
        raise SourceError(_nothing_usable(name, entries, columns))
    return entries, columns.remarks + remarks


def _nothing_usable(name: str, entries: Sequence[Entry], columns: Columns) -> str:
    first = [f"row {entry.row}: {entry.reason}" for entry in entries[:3] if isinstance(entry, BadEntry)]
    found = f" Its columns are {', '.join(map(repr, columns.found))}." if columns.found else ""
    return f"{name} cannot be used, because none of its {len(entries):,} rows can: {'; '.join(first)}.{found}"


def _row_entry(number: int, row: ManifestRow, base: str, default_category: str | None) -> Entry:
    if isinstance(row, str):
        return BadEntry(f"row {number}", row, row=number)
    image = row.get(IMAGE)
    if not isinstance(image, str) or not image.strip():
        return BadEntry(f"row {number}", "the row names no image", row=number)
    label = composed(image.strip())
    try:
        return make_entry(label, _join(base, image.strip()), row, default_category, number)
    except SemblanceError as exc:
        return BadEntry(label, exc.message, row=number)
    except ValueError as exc:
        return BadEntry(label, f"it is not a valid address: {exc}", row=number)


def _join(base: str, image: str) -> str:
    """The absolute location of an image that a manifest names. Raises ConfigurationError or ValueError."""
    if not SCHEME.match(image):
        return base + image if not image.startswith("/") or base.startswith("s3:") else image
    parts = urlsplit(image)
    if parts.scheme == "file":
        if base.startswith("s3:"):
            # Write access to a bucket must not give read access to this machine.
            raise ConfigurationError("a manifest in a bucket cannot name files of this machine")
        return str(local_path(image))
    if parts.scheme not in {"s3", "https", "http"}:
        raise ConfigurationError(
            f"{parts.scheme}:// is not supported; use a path, s3://, https:// or http://"
        )
    if not parts.hostname:
        raise ValueError("no host is named")
    _ = parts.port  # raises ValueError for an invalid one
    return image


def _csv_rows(file: BinaryIO, columns: Columns, remarks: list[str]) -> ManifestRows:
    with TextLines(file) as lines:
        numbered = _Numbered(lines)
        delimiter, names = _header(numbered)
        places = columns.match(names)
        _require_image(places, names)
        for number, cells in _records(numbered, delimiter):
            if isinstance(cells, str):
                yield number, cells
            elif any(cells[len(names) :]):
                yield number, f"more fields than the header has; quote the {_DELIMITERS[delimiter]}"
            elif any(cells):
                yield number, {field: cells[place] for field, place in places.items() if place < len(cells)}
        if lines.encoding == "cp1252":
            remarks.append("The text is not UTF-8 and was read as Windows-1252; check the names.")


class _Numbered:
    """Lines with their numbers; some may be given back. Raises csv.Error for a line that is too long."""

    def __init__(self, lines: Iterable[str | None]) -> None:
        self._lines = enumerate(lines, 1)
        self._returned: deque[tuple[int, str | None]] = deque()
        self.taken: list[tuple[int, str | None]] = []

    def __iter__(self) -> Iterator[str]:
        while taken := self._returned.popleft() if self._returned else next(self._lines, None):
            self.taken.append(taken)
            if taken[1] is None:
                raise csv.Error(_TOO_LONG)
            yield taken[1]

    def give_back(self, lines: Sequence[tuple[int, str | None]]) -> None:
        self._returned.extendleft(reversed(lines))


def _header(lines: _Numbered) -> tuple[str, list[str]]:
    """The delimiter and the names of the columns. The delimiter is the one that gives the header an image and
    the most known columns: since the columns are known, nothing has to be guessed."""
    told = ""
    for line in lines:
        if separator := _SEPARATOR_LINE.fullmatch(line):
            told = separator[1]
        elif line.strip():
            headers = [(delimiter, _cells(line, delimiter)) for delimiter in told or _DELIMITERS]
            lines.taken.clear()
            return max(headers, key=_known_columns)
    return ",", []


def _known_columns(header: tuple[str, list[str]]) -> tuple[bool, int, int]:
    matched = match_columns(header[1])
    return IMAGE in matched, len(matched), len(header[1])


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return []
    return [cell.strip() for cell in cells]


def _records(lines: _Numbered, delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """The cells of each record, or why it is invalid, with the number of its first line. After an invalid
    record it goes on with the next line, also if an open quote has swallowed many."""
    while True:
        # With spaces after a delimiter the reader would not recognize quotes.
        reader = csv.reader(iter(lines), delimiter=delimiter, skipinitialspace=True, strict=True)
        try:
            for cells in reader:
                number = lines.taken[0][0]
                lines.taken.clear()
                yield number, cells
        except csv.Error as exc:
            (number, _), *others = lines.taken
            lines.taken.clear()
            lines.give_back(others)
            yield number, f"it is not valid CSV: {exc}"
        else:
            return


def _json_rows(file: BinaryIO, columns: Columns, _: list[str]) -> ManifestRows:
    with TextLines(file) as lines:
        for number, line in enumerate(lines, 1):
            if line is None:
                yield number, _TOO_LONG
            elif line.strip():
                yield number, _json_row(line, columns)


def _json_row(line: str, columns: Columns) -> ManifestRow:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as exc:
        return f"it is not valid JSON: {exc}"
    if not isinstance(row, dict):
        return 'it is not a JSON object like {"image": "a.jpg"}'
    values = list(row.values())
    return {field: values[place] for field, place in columns.match(list(row)).items()}


def _parquet_rows(file: BinaryIO, columns: Columns, _: list[str]) -> ManifestRows:
    table = pyarrow.parquet.ParquetFile(file)
    names = table.schema_arrow.names
    places = columns.match(names)
    _require_image(places, names)
    wanted = {names[place]: field for field, place in places.items()}
    _check_row_groups(table.metadata, wanted)
    number = 0
    for batch in table.iter_batches(_PARQUET_ROWS, columns=list(wanted)):
        for row in batch.to_pylist():
            number += 1
            yield number, {wanted[name]: value for name, value in row.items()}


def _check_row_groups(metadata: Any, names: Iterable[str]) -> None:
    """Refuse a file that would fill the memory, before anything is unpacked."""
    wanted = set(names)
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        chunks = [group.column(place) for place in range(group.num_columns)]
        size = sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema in wanted)
        if size > ROW_GROUP_BYTES:
            raise ValueError(f"row group {index} has {size:,} bytes; write it with smaller ones")


def _require_image(places: Mapping[str, int], names: Sequence[str]) -> None:
    if IMAGE not in places:
        found = ", ".join(map(repr, names[:20])) or "none"
        raise ValueError(
            f"it has no column image, nor one like file, path or url. Its columns: {found}. "
            f"Known columns: {', '.join(FIELDS)}."
        )


MANIFESTS: dict[str, Callable[[BinaryIO, Columns, list[str]], ManifestRows]] = {
    ".csv": _csv_rows,
    ".tsv": _csv_rows,
    ".jsonl": _json_rows,
    ".ndjson": _json_rows,
    ".parquet": _parquet_rows,
}
"""The reader of a manifest, by the suffix of its name."""
