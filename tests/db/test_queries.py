from __future__ import annotations

import ast
from pathlib import Path

import pytest

from db.pool import Database
from db.queries import load_queries, queries, sql


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
        ({"a": "-- name: one\nSELECT 1;\n-- name: two Says what it does.\nSELECT 2;\n"}, "more than a name"),
        ({"a": "SELECT 0;\n-- name: one\nSELECT 1;\n"}, "before its first name"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_queries(write(tmp_path, **files))


def test_an_unknown_name_is_an_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="no_such_query"):
        _ = sql.no_such_query


def test_every_name_used_exists_and_every_query_is_used() -> None:
    root = Path(__file__).parents[2]
    used = {
        node.attr
        for package in ("db", "matching")
        for path in (root / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sql"
    }
    assert used == set(queries)


async def test_the_server_understands_every_query(database: Database) -> None:
    async with database.transaction() as connection:
        for name, text in queries.items():
            if name.startswith("stage_"):
                await connection.execute(text)  # makes the temporary table that others name
        for text in queries.values():
            await connection.prepare(text)


def test_a_claimed_job_comes_with_its_face_as_probe_face_reads_it() -> None:
    """The same columns from the same rows, so that a match does not depend on who read the face."""
    probe = queries["probe_face"]
    select = " ".join(probe[probe.index("SELECT") :].removesuffix("WHERE faces.id = $1;").split())
    assert f"CROSS JOIN LATERAL ( {select} WHERE faces.id = claimed.face_id LIMIT 1 ) AS probe;" in " ".join(
        queries["claim_match_jobs"].split()
    )
