"""CSV files whose columns are found by name."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from rich.markup import escape

from batch.ingest.columns import Columns
from ops.commands.output import errors
from semblance.errors import BadInputError

MOST_BYTES = 256 * 1024 * 1024


def read_csv(
    file: Path, fields: Mapping[str, tuple[str, ...]], required: tuple[str, ...]
) -> list[tuple[int, dict[str, str]]]:
    """The rows: the number of the line, and its cells by field, stripped. Unknown columns are reported on
    stderr.

    Args:
        fields: the fields, and the names of their columns as `batch.ingest.columns` matches them.
        required: fields without which a file is refused.

    Raises BadInputError if the file cannot be read or lacks a required column.
    """
    if file.stat().st_size > MOST_BYTES:
        raise BadInputError(f"{file.name} is larger than {MOST_BYTES // 1024**2} MiB.")
    columns = Columns(file.name, fields)
    try:
        reader = csv.reader(io.StringIO(file.read_bytes().decode("utf-8-sig"), newline=""), strict=True)
        header = next(reader, [])
        places = columns.match(header)
        missing = [field for field in required if field not in places]
        if missing:
            raise BadInputError(
                f"{file.name} has no column {' and no column '.join(map(repr, missing))}; its first line has "
                f"{', '.join(map(repr, header)) or 'nothing'}."
            )
        rows = []
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise BadInputError(
                    f"Line {reader.line_num} of {file.name} has {len(cells)} cells, its first {len(header)}."
                )
            rows.append((reader.line_num, {field: cells[at].strip() for field, at in places.items()}))
    except (UnicodeDecodeError, csv.Error) as exc:
        raise BadInputError(f"{file.name} cannot be read as CSV in UTF-8: {exc}") from exc
    for remark in columns.remarks:
        errors.print(f"[yellow]![/] {escape(remark)}", soft_wrap=True)
    return rows
