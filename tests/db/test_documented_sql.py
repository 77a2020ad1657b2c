"""Statements that the documentation gives to operators run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from tests.support.rows import add_face, add_match, add_profile

DOCS = Path(__file__).parents[2] / "docs"


def statements(page: str, section: str) -> list[str]:
    """Those of a section's SQL, each with the comment before it."""
    _, _, rest = (DOCS / page).read_text(encoding="utf-8").partition(f"# {section}\n")
    blocks = re.findall(r"```sql\n(.*?)```", rest.partition("\n## ")[0], re.DOTALL)
    return [statement for block in blocks for statement in block.strip().split("\n\n")]


QUEUE = statements("operations.md", "Watching the queue")


SEARCHES = statements("database.md", "Searches among users' faces")


def test_there_are_statements() -> None:
    assert (len(QUEUE), len(SEARCHES)) == (8, 2)


@pytest.mark.parametrize("statement", QUEUE, ids=[query.partition("\n")[0] for query in QUEUE])
def test_a_statement_on_the_queue_finds_its_row(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn) as connection:
        ada = add_profile(connection, school="mit", gender="female")
        bob = add_profile(connection, school="mit", gender="male")
        faces = [add_face(connection, who) for who in (bob, ada)]
        add_match(connection, *faces)
        connection.execute(
            "UPDATE match_jobs SET status = 'completed', completed_at = now() WHERE user_id = %s", [ada]
        )
        for status in ("failed", "pending", "processing"):
            connection.execute(
                """
                INSERT INTO match_jobs (face_id, user_id, status, created_at, run_after, lease_until)
                VALUES (%s, %s, %s, now() - interval '1 hour', now() - interval '1 minute',
                    now() - interval '1 minute')
                """,
                [faces[0], bob, status],
            )
        rows = connection.execute(statement.encode()).fetchall()
    assert rows
    assert rows[0][0] is not None


@pytest.mark.parametrize("statement", SEARCHES, ids=["latest", "by whom"])
def test_a_statement_on_searches_finds_who_searched(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn) as connection:
        admin = add_profile(connection, email="root@uni.edu", role="admin")
        connection.execute(
            "INSERT INTO face_searches (profile_id, max_results, results, request_id)"
            " VALUES (%s, 10, 3, 'r')",
            [admin],
        )
        [row] = connection.execute(statement.encode()).fetchall()
    assert "root@uni.edu" in row or admin in row
