"""Adoptions of databases that are odd, are written to all the time, or belong to somebody else."""

from __future__ import annotations

import contextlib

import psycopg
import pytest

from db.adoption.run import carry_out
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
        if "profiles" in step.title and step.title not in killed_at:
            killed_at.add(step.title)
            raise KilledError(step.title)

    killed_at: set[str] = set()
    while True:
        try:
            carry_out(empty_dsn, "finish", on_step=write_and_die)
        except KilledError:
            continue
        break
    assert len(killed_at) >= 3
    found = values(
        empty_dsn, "SELECT gender, profile_type, count(*) FROM profiles WHERE name = 'Eve' GROUP BY 1, 2"
    )
    assert found == [("female", "user", written)]


FACES = "00000000-0000-0000-0000-0000000000"
"""How the ids of the faces begin; they end in 0a to 0d, of which the last one's profile is gone."""

HANGING = f"""
    INSERT INTO matches (face_a_id, face_b_id, similarity_score) VALUES ('{FACES}0a', '{FACES}0d', .5);
    INSERT INTO reactions (user_profile_id, match_id, reaction_type)
        SELECT '00000000-0000-0000-0000-000000000001', id, 'like' FROM matches WHERE face_b_id = '{FACES}0d';
    CREATE TABLE diary (note text, match_id uuid NOT NULL);
    INSERT INTO diary SELECT 'We met', id FROM matches WHERE face_b_id = '{FACES}0d';
    UPDATE profiles SET default_face_id = '{FACES}0d' WHERE name = 'Ada';
"""


@pytest.mark.parametrize("action", ["CASCADE", "NO ACTION"])
def test_what_hangs_on_a_row_that_leads_to_nothing_is_kept_beside_with_it(
    empty_dsn: str, action: str
) -> None:
    keys = f"""
        ALTER TABLE matches ADD FOREIGN KEY (face_a_id) REFERENCES faces ON DELETE {action},
            ADD FOREIGN KEY (face_b_id) REFERENCES faces ON DELETE {action};
        ALTER TABLE reactions ADD FOREIGN KEY (match_id) REFERENCES matches ON DELETE {action};
        ALTER TABLE diary ADD FOREIGN KEY (match_id) REFERENCES matches ON DELETE {action};
        ALTER TABLE profiles ADD FOREIGN KEY (default_face_id) REFERENCES faces ON DELETE {action};
    """
    run(empty_dsn, OLD + HANGING + keys)
    carry_out(empty_dsn, "expand")
    found = values(empty_dsn, "SELECT table_name FROM semblance_adoption.kept_rows ORDER BY 1")
    assert found == [("diary",), ("faces",), ("matches",), ("reactions",)]
    found = values(empty_dsn, "SELECT name, default_face_id FROM profiles ORDER BY name")
    assert found == [("Ada", None), ("Bob", None)]
    found = values(
        empty_dsn, "SELECT value FROM semblance_adoption.kept_values WHERE column_name = 'default_face_id'"
    )
    assert found == [(f"{FACES}0d",)]


@pytest.mark.parametrize("valid", ["", "NOT VALID"])
def test_a_key_that_was_never_checked_says_nothing_about_its_rows(empty_dsn: str, valid: str) -> None:
    run(
        empty_dsn,
        OLD
        + ("" if valid else f"DELETE FROM faces WHERE id = '{FACES}0d';")
        + f"ALTER TABLE faces ADD FOREIGN KEY (profile_id) REFERENCES profiles {valid}",
    )
    carry_out(empty_dsn, "expand")
    assert values(empty_dsn, "SELECT count(*) FROM faces") == [(3,)]


@pytest.mark.parametrize("action", ["CASCADE", "NO ACTION", "SET NULL"])
def test_what_an_unknown_table_says_of_a_doubled_match_goes_over_to_the_one_that_stays(
    empty_dsn: str, action: str
) -> None:
    run(
        empty_dsn,
        OLD + "INSERT INTO matches (face_a_id, face_b_id, similarity_score, created_at)"
        " SELECT face_b_id, face_a_id, .3, now() FROM matches;"
        f"CREATE TABLE diary (note text, match_id uuid REFERENCES matches ON DELETE {action});"
        "INSERT INTO diary SELECT 'We met', id FROM matches",
    )
    carry_out(empty_dsn, "expand")
    found = values(
        empty_dsn, "SELECT count(*), count(DISTINCT matches.id) FROM diary JOIN matches ON id = match_id"
    )
    assert found == [(2, 1)]
