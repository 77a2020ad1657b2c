"""Adoptions of databases that are odd, are written to all the time, or belong to somebody else."""

from __future__ import annotations

import contextlib

import psycopg
import pytest

from db.adoption.run import carry_out, look
from db.adoption.steps import Step
from tests.support.old_app import early
from tests.support.supabase import run

OLD = early("CREATE EXTENSION vector;")


class KilledError(Exception):
    """What ends a run in the middle."""


def values(dsn: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query.encode()).fetchall()


def test_a_finish_that_is_killed_while_the_old_app_still_writes_is_completed(empty_dsn: str) -> None:
    run(empty_dsn, OLD)
    carry_out(empty_dsn, "expand")
    written = 0

    def write() -> None:
        nonlocal written
        with contextlib.suppress(psycopg.errors.CheckViolation, psycopg.errors.NotNullViolation):
            run(
                empty_dsn,
                "INSERT INTO profiles (id, profile_type, name, gender, created_at)"
                " VALUES (gen_random_uuid(), 'User', 'Eve', 'Female', NULL)",
            )
            written += 1

    def write_and_die(_: int, step: Step) -> None:
        write()
        if step.title not in killed_at:
            killed_at.add(step.title)
            raise KilledError(step.title)

    killed_at: set[str] = set()
    while True:
        try:
            carry_out(empty_dsn, "finish", on_step=write_and_die)
        except KilledError:
            continue
        break
    assert len(killed_at) > 10
    found = values(
        empty_dsn, "SELECT gender, profile_type, count(*) FROM profiles WHERE name = 'Eve' GROUP BY 1, 2"
    )
    assert found == [("female", "user", written)]
