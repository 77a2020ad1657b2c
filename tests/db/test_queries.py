from __future__ import annotations

from pathlib import Path

import pytest

from db.pool import Database
from db.queries import load_queries, queries


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.sql").write_text(text)
    return folder


def test_queries_of_all_files_by_name(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        a="-- Faces.\n\n-- name: one\n-- Says one.\nSELECT 1;\n\n-- name: two\nSELECT\n  $1;\n",
        b="-- name: three\nSELECT 3;\n",
    )
    assert load_queries(folder) == {
        "one": "-- Says one.\nSELECT 1;",
        "two": "SELECT\n  $1;",
        "three": "SELECT 3;",
    }


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a": "-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;\n"}, "one a second time"),
        ({"a": "-- name: one\nSELECT 1;\n", "b": "-- name: one\nSELECT 2;\n"}, "one a second time"),
        ({"a": "-- name: one\n-- Nothing yet.\n-- name: two\nSELECT 2;\n"}, "no SQL under the name one"),
        ({"a": "SELECT 0;\n-- name: one\nSELECT 1;\n"}, "before its first name"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_queries(write(tmp_path, **files))


def test_an_unknown_name_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        queries["no_such_query"]


async def test_the_server_understands_every_query(database: Database) -> None:
    async with database.transaction() as connection:
        for name, text in queries.items():
            if name.startswith("stage_"):
                await connection.execute(text)  # makes the temporary table that others name
        for text in queries.values():
            await connection.prepare(text)
