"""Reads and writes many rows at once: PostgreSQL's binary COPY as NumPy arrays, without an object per row.

Every column has a fixed length, and so does a row. See "Binary Format" of COPY in PostgreSQL's manual.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import asyncpg
import numpy as np
from numpy.typing import NDArray

from db.copies import while_connected
from semblance.types import EMBEDDING_SIZE

ROWS = 8192
"""Most rows of one piece; about 20 MB of traits."""

READ_SECONDS = 3600.0
"""How long one read may take, in place of what the pool gives a command. Ten million rows take minutes."""

GENDERS = {None: 0, "male": 1, "female": 2, "other": 3}
"""Genders as `gender_number` in the database numbers them."""

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"

Rows: TypeAlias = NDArray[np.void]


def row_type(*columns: tuple[str, Any]) -> np.dtype[Any]:
    """A row of these columns; sizes are big-endian, as the values must be."""
    return np.dtype([
        ("columns", ">i2"),
        *(entry for name, kind in columns for entry in ((f"{name}_size", ">i4"), (name, kind))),
    ])  # fmt: skip


def _array(length: int) -> np.dtype[Any]:
    """A float8[] without nulls."""
    return np.dtype([("head", ">i4", 5), ("items", [("size", ">i4"), ("value", ">f8")], length)])


TRAITS: tuple[tuple[str, Any], ...] = (
    ("id", "V16"),
    # See pgvector's vector_send.
    ("embedding", [("head", ">i2", 2), ("values", ">f4", EMBEDDING_SIZE)]),
    ("geometry", _array(4)),
    ("age", ">i4"),
    ("symmetry", ">f8"),
    ("skin_tone", _array(3)),
    ("expression", ">i2"),
    ("quality", ">f8"),
    ("gender", ">i2"),
)
"""The columns of the views of traits, with which every query for many of them begins."""


async def read_rows(
    connection: asyncpg.Connection,
    query: str,
    *args: object,
    row: np.dtype[Any],
    take: Callable[[Rows], None],
) -> None:
    """Run a query and pass its rows to `take`, at most ROWS at a time. It may take as long as READ_SECONDS: a
    large gallery takes longer than a command may."""
    reader = CopyReader(row)

    async def feed(data: bytes) -> None:
        for rows in reader.feed(data):
            take(rows)

    await connection.copy_from_query(query, *args, output=feed, format="binary", timeout=READ_SECONDS)
    for rows in reader.end():
        take(rows)


class CopyReader:
    """Cuts COPY's binary stream into rows."""

    def __init__(self, row: np.dtype[Any]) -> None:
        self._row = row
        self._parts: list[bytes | memoryview] = []
        self._size = 0
        self._left_of_header = len(_HEADER)

    def feed(self, data: bytes) -> Iterator[Rows]:
        """Whole pieces of ROWS rows."""
        part = memoryview(data)[self._left_of_header :]
        self._left_of_header -= len(data) - len(part)
        self._parts.append(part)
        self._size += len(part)
        size = ROWS * self._row.itemsize
        while self._size > size + len(_TRAILER):
            # Each byte is copied once, except for what is left over.
            joined = memoryview(b"".join(self._parts))
            self._parts, self._size = [joined[size:]], self._size - size
            yield np.frombuffer(joined[:size], self._row)

    def end(self) -> Iterator[Rows]:
        """The remaining rows, after the end of the stream."""
        if self._size > len(_TRAILER):
            yield np.frombuffer(b"".join(self._parts)[: -len(_TRAILER)], self._row)


async def write_rows(
    connection: asyncpg.Connection, table: str, columns: Sequence[tuple[str, NDArray[Any]]]
) -> None:
    """Append rows to a temporary table.

    Args:
        columns: names and values, all of the same length: ids as V16, numbers as float64.
    """
    row = row_type(*((name, ">f8" if values.dtype.kind == "f" else "V16") for name, values in columns))
    rows = np.zeros(len(columns[0][1]), row)
    rows["columns"] = len(columns)
    for name, values in columns:
        rows[f"{name}_size"] = row[name].itemsize
        rows[name] = values
    copying = connection.copy_to_table(
        table,
        source=io.BytesIO(_HEADER + rows.tobytes() + _TRAILER),
        columns=[name for name, _ in columns],
        schema_name="pg_temp",
        format="binary",
    )
    await while_connected(connection, copying)
