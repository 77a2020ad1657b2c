"""Reading schools from CSV, JSON or JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from batch.ingest.columns import Columns, match_columns
from db.schools import SchoolNames
from semblance.errors import BadInputError
from semblance.names import usable_name
from semblance.schools import folded, usable_domain

MOST_BYTES = 64 * 1024 * 1024

FIELDS = {
    "name": ("name", "school", "schoolname", "university", "institution"),
    "domains": ("domains", "domain", "emaildomains", "emaildomain"),
    "aliases": ("aliases", "alias", "othernames", "alsoknownas", "abbreviations", "abbreviation"),
}
"""The columns and their other names, as `batch.ingest.columns` matches them."""

_SEPARATORS = ";|\n"

SchoolRow: TypeAlias = SchoolNames | str
"""A school, or what is wrong with its row."""


@dataclass(frozen=True, slots=True)
class SchoolFile:
    """The content of a file.

    Attributes:
        rows: each with the school's name, or with its number if the name is missing.
        remarks: sentences about columns that were not used.
    """

    rows: list[tuple[str, SchoolRow]]
    remarks: list[str]


def read_school_file(file: Path) -> SchoolFile:
    """Read the schools in a file. Raises BadInputError if it is neither CSV nor JSON, or has no names."""
    if file.stat().st_size > MOST_BYTES:
        raise BadInputError(f"{file.name} is larger than {MOST_BYTES // 1024**2} MiB; import it in parts.")
    try:
        text = file.read_bytes().decode("utf-8-sig")
        columns = Columns(file.name, FIELDS)
        cells = _json_rows(text) if text.lstrip()[:1] in {"[", "{"} else _csv_rows(text)
        rows = [_row(number, row, columns) for number, row in enumerate(cells, 1)]
    except (ValueError, csv.Error, RecursionError) as exc:
        raise BadInputError(f"{file.name} cannot be read as CSV or JSON in UTF-8: {exc}") from exc
    if rows and not any("name" in match_columns([name], FIELDS) for name in columns.found):
        raise BadInputError(
            f"{file.name} has no column `name`; it has {', '.join(columns.found) or 'no columns'}."
        )
    return SchoolFile(_once_each(rows), columns.remarks)


def _csv_rows(text: str) -> Iterator[Mapping[str, Any]]:
    header = text.lstrip("\n").partition("\n")[0]
    # The delimiter that gives the most known columns.
    delimiter = max(",;\t|", key=lambda mark: len(match_columns(header.split(mark), FIELDS)))
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    for row in reader:
        if None in row:
            raise ValueError(f"line {reader.line_num} has more cells than the header")
        yield row


def _json_rows(text: str) -> Iterator[Mapping[str, Any]]:
    if text.lstrip().startswith("["):
        rows = json.loads(text)
    else:
        rows = [json.loads(line) for line in text.split("\n") if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError('a school must look like {"name": "Stanford", "domains": ["stanford.edu"]}')
    yield from rows


def _row(number: int, row: Mapping[str, Any], columns: Columns) -> tuple[str, SchoolRow]:
    values = list(row.values())
    found = {field: values[place] for field, place in columns.match(list(row)).items()}
    name = found.get("name")
    if not isinstance(name, str) or not name.strip():
        return f"row {number}", "it has no name"
    label = name.strip()
    try:
        return label, SchoolNames(
            usable_name(name),
            None if "domains" not in found else [usable_domain(each) for each in _several(found["domains"])],
            None if "aliases" not in found else [usable_name(each) for each in _several(found["aliases"])],
        )
    except ValueError as exc:
        return label, str(exc)


def _several(value: object) -> list[str]:
    """The texts in a list or in one cell."""
    if value is None:
        return []
    if isinstance(value, str):
        for mark in _SEPARATORS[1:]:
            value = value.replace(mark, _SEPARATORS[0])
        value = value.split(_SEPARATORS[0])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError("domains and aliases must be lists of strings")
    return [each for each in value if each.strip()]


def _once_each(rows: list[tuple[str, SchoolRow]]) -> list[tuple[str, SchoolRow]]:
    """The rows, with those refused that claim a name or domain of an earlier row."""
    owner: dict[str, str] = {}
    checked: list[tuple[str, SchoolRow]] = []
    for label, row in rows:
        if isinstance(row, str):
            checked.append((label, row))
            continue
        called = {folded(each): each for each in [row.name or "", *(row.domains or ()), *(row.aliases or ())]}
        taken = next((key for key in called if key in owner), None)
        if taken is None:
            owner |= dict.fromkeys(called, label)
            checked.append((label, row))
        else:
            checked.append((label, f"{called[taken]!r} belongs to {owner[taken]!r} above"))
    return checked
