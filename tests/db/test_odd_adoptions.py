"""Adoptions of databases that are odd, are written to all the time, or belong to somebody else."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from db.adoption.run import carry_out, look
from db.adoption.steps import Step
from tests.support.old_app import KilledError, early
from tests.support.postgres import on_database
from tests.support.supabase import run

pytestmark = pytest.mark.usefixtures("known_targets")

OLD = early("CREATE EXTENSION vector;")


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
"""How the ids of the faces begin; they end in 0a to 0d, and the profile of 0d is gone."""

HANGING = f"""
    INSERT INTO matches (face_a_id, face_b_id, similarity_score) VALUES ('{FACES}0a', '{FACES}0d', .5);
    INSERT INTO reactions (user_profile_id, match_id, reaction_type)
        SELECT '00000000-0000-0000-0000-000000000001', id, 'like' FROM matches WHERE face_b_id = '{FACES}0d';
    CREATE TABLE diary (note text, match_id uuid NOT NULL);
    INSERT INTO diary SELECT 'We met', id FROM matches WHERE face_b_id = '{FACES}0d';
    UPDATE profiles SET default_face_id = '{FACES}0d' WHERE name = 'Ada';
"""


@pytest.mark.parametrize("action", ["CASCADE", "NO ACTION"])
def test_rows_that_refer_to_a_dangling_row_are_kept_aside_with_it(empty_dsn: str, action: str) -> None:
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
def test_rows_under_an_unvalidated_foreign_key_are_checked(empty_dsn: str, valid: str) -> None:
    run(
        empty_dsn,
        OLD
        + ("" if valid else f"DELETE FROM faces WHERE id = '{FACES}0d';")
        + f"ALTER TABLE faces ADD FOREIGN KEY (profile_id) REFERENCES profiles {valid}",
    )
    carry_out(empty_dsn, "expand")
    assert values(empty_dsn, "SELECT count(*) FROM faces") == [(3,)]


@pytest.mark.parametrize("action", ["CASCADE", "NO ACTION", "SET NULL"])
def test_references_to_a_duplicate_match_move_to_the_one_that_is_kept(empty_dsn: str, action: str) -> None:
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


ADA, BOB = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"


def test_old_rights_show_nobody_the_pictures_of_others(empty_dsn: str) -> None:
    run(
        empty_dsn,
        OLD + "CREATE TABLE messages (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), connection_id uuid,"
        " sender_id uuid, content text, message_type text)",
    )
    carry_out(empty_dsn, "expand")
    run(
        empty_dsn,
        "GRANT ALL ON faces, babies, matches, profiles, messages TO authenticated",
    )
    with psycopg.connect(empty_dsn) as connection:
        connection.execute("SELECT set_config('request.jwt.claims', %s, true)", [f'{{"sub": "{ADA}"}}'])
        connection.execute("SET LOCAL ROLE authenticated")
        for statement in (
            "INSERT INTO faces (id, profile_id, image_path) VALUES (gen_random_uuid(), %(me)s, %(picture)s)",
            "UPDATE faces SET image_path = %(picture)s WHERE profile_id = %(me)s",
            "INSERT INTO babies (match_id, image_url) SELECT id, %(picture)s FROM matches",
            "INSERT INTO messages (content, message_type) VALUES (%(picture)s, 'image')",
        ):
            for picture in ("c.jpg", "old/faces/c.jpg.full.jpg", "a/b.thumbnail.jpg"):
                with (
                    pytest.raises(psycopg.errors.InsufficientPrivilege, match="not yours"),
                    connection.transaction(),
                ):
                    connection.execute(statement, {"me": ADA, "picture": picture})
        # What the old app's clients write still goes in.
        connection.execute(
            "INSERT INTO faces (id, profile_id, image_path) VALUES (gen_random_uuid(), %s, 'new.jpg')", [ADA]
        )
        connection.execute("INSERT INTO messages (content, message_type) VALUES ('a.jpg', 'image')")
        connection.execute("INSERT INTO messages (content, message_type) VALUES ('c.jpg', 'text')")
        connection.execute("UPDATE profiles SET default_face_id = %s WHERE id = %s", [f"{FACES}0a", ADA])
        connection.execute("UPDATE profiles SET default_face_id = %s WHERE id = %s", [f"{FACES}0c", ADA])
        connection.execute("RESET ROLE")
        found = connection.execute(
            "SELECT default_face_id::text FROM profiles WHERE id = %s", [ADA]
        ).fetchone()
        assert found == (f"{FACES}0a",)


def test_a_pair_that_two_write_at_the_same_moment_is_there_once(empty_dsn: str) -> None:
    run(empty_dsn, OLD)
    carry_out(empty_dsn, "expand")
    pair = (f"{FACES}0a", f"{FACES}0c")
    insert = "INSERT INTO matches (face_a_id, face_b_id, similarity_score) VALUES (%s, %s, .5)"
    with (
        psycopg.connect(empty_dsn) as one,
        psycopg.connect(empty_dsn) as other,
        ThreadPoolExecutor(1) as second,
    ):
        one.execute(insert, pair)
        waiting = second.submit(other.execute, insert, pair[::-1])
        while values(empty_dsn, "SELECT count(*) FROM pg_locks WHERE NOT granted") == [(0,)]:
            assert not waiting.done()
        one.commit()
        assert waiting.result().rowcount == 0
        other.commit()
    assert values(empty_dsn, f"SELECT count(*) FROM matches WHERE face_b_id = '{pair[1]}'") == [(1,)]


FUNCTION_OF = "CREATE FUNCTION best() RETURNS {0} LANGUAGE sql BEGIN ATOMIC SELECT {1} LIMIT 1; END"


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        (FUNCTION_OF.format("numeric", "similarity_score FROM matches"), "function best"),
        (
            "ALTER TABLE matches ADD p numeric GENERATED ALWAYS AS (similarity_score * 100) STORED",
            "column p of",
        ),
        (
            "CREATE PUBLICATION p FOR TABLE matches WHERE (similarity_score > .5)",
            "publication of table matches",
        ),
        ("CREATE VIEW events AS SELECT id FROM faces", "is that of the view events"),
        ("CREATE INDEX schools ON faces (image_path)", "is that of the index schools"),
        ("CREATE TYPE schools AS ENUM ('a')", "is that of the type schools"),
        ("CREATE SEQUENCE events_id_seq", "is that of the sequence events_id_seq"),
        ("ALTER TABLE faces FORCE ROW LEVEL SECURITY", "faces hides rows from its own owner"),
        ("ALTER TABLE faces ADD age text; UPDATE faces SET age = 'thirty'", "faces.age is text.*thirty"),
        ("ALTER TABLE faces ADD pose boolean", "faces.pose is boolean.*cannot cast"),
        (
            "ALTER TABLE faces ADD embedding real[]; UPDATE faces SET embedding = '{1}'",
            "expected 512 dimensions",
        ),
    ],
)
def test_what_would_stop_an_adoption_midway_is_named_before_it_begins(
    empty_dsn: str, sql: str, problem: str
) -> None:
    run(empty_dsn, OLD + sql)
    (obstacle,) = look(empty_dsn, "expand").plan.obstacles
    assert re.search(problem, obstacle.problem), obstacle.problem
    assert obstacle.fix


def test_a_table_of_somebody_else_is_named_before_anything_is_done(empty_dsn: str) -> None:
    run(
        empty_dsn,
        OLD + "DO $$ BEGIN CREATE ROLE owner_of_most LOGIN CREATEROLE BYPASSRLS;"
        " EXCEPTION WHEN OTHERS THEN END $$;"
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO owner_of_most', current_database()); END $$;"
        "ALTER TABLE profiles OWNER TO owner_of_most; ALTER TABLE faces OWNER TO owner_of_most;"
        "ALTER TABLE matches OWNER TO owner_of_most; ALTER TABLE reactions OWNER TO owner_of_most;"
        "GRANT SELECT ON babies TO owner_of_most",
    )
    (obstacle,) = look(empty_dsn.replace("postgres@", "owner_of_most@"), "expand").plan.obstacles
    assert "babies belongs to somebody else" in obstacle.problem


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        (
            FUNCTION_OF.format("uuid", "qdrant_point_id FROM faces"),
            "function best() uses faces.qdrant_point_id",
        ),
        (
            "CREATE TABLE diary (id uuid); CREATE POLICY p ON diary USING"
            " (id IN (SELECT qdrant_point_id FROM faces))",
            "policy p on table diary uses faces.qdrant_point_id",
        ),
        ("CREATE PUBLICATION p FOR TABLE faces (id, qdrant_point_id)", "publication of table faces"),
        (
            "CREATE TABLE jobs (id uuid PRIMARY KEY); CREATE TABLE log (job uuid REFERENCES jobs)",
            "constraint log_job_fkey on table log uses jobs",
        ),
        (
            "CREATE TABLE jobs (id uuid PRIMARY KEY); CREATE VIEW log AS SELECT * FROM jobs",
            "view log uses jobs",
        ),
    ],
)
def test_dependents_of_an_object_are_named_before_it_is_dropped(adopted: str, sql: str, problem: str) -> None:
    run(adopted, sql)
    (obstacle,) = look(adopted, "finish").plan.obstacles
    assert problem in obstacle.problem


def test_objects_without_dependents_are_dropped(adopted: str) -> None:
    run(
        adopted,
        "ALTER TABLE faces ADD point text GENERATED ALWAYS AS (qdrant_point_id::text) STORED;"
        "CREATE POLICY p ON faces USING (qdrant_point_id IS NOT NULL);"
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        "CREATE SCHEMA private; CREATE TABLE private.diary (id uuid);"
        "CREATE TRIGGER note BEFORE INSERT ON private.diary FOR EACH ROW EXECUTE FUNCTION note();"
        "CREATE TRIGGER note BEFORE INSERT ON faces FOR EACH ROW EXECUTE FUNCTION note()",
    )
    carry_out(adopted, "finish")
    run(adopted, "INSERT INTO private.diary DEFAULT VALUES")
    assert values(adopted, "SELECT count(*) FROM pg_policies WHERE policyname = 'p'") == [(0,)]


@pytest.mark.parametrize(
    ("sql", "query", "expected"),
    [
        (
            "CREATE TYPE gender AS ENUM ('male', 'Female'); ALTER TABLE profiles ALTER gender TYPE gender"
            " USING gender::gender; UPDATE profiles SET gender = 'Female'",
            "SELECT DISTINCT gender FROM profiles",
            "female",
        ),
        ("ALTER TABLE profiles ADD online integer DEFAULT 0", "SELECT DISTINCT online FROM profiles", False),
        (
            "CREATE TABLE celebrities (id text PRIMARY KEY, name text, image_path text);"
            f"INSERT INTO celebrities VALUES ('{FACES}f1', 'Tom', 't.jpg')",
            "SELECT created_at IS NULL FROM celebrities WHERE name = 'Tom'",
            False,
        ),
    ],
)
def test_columns_of_other_types_get_the_one_they_need(
    empty_dsn: str, sql: str, query: str, expected: object
) -> None:
    run(empty_dsn, OLD + sql)
    carry_out(empty_dsn, "expand")
    assert values(empty_dsn, query) == [(expected,)]
    carry_out(empty_dsn, "finish")


@pytest.fixture(scope="module")
def adopted_name(postgres: str) -> Iterator[str]:
    """Name of an early database in the middle of its adoption."""
    with psycopg.connect(on_database(postgres, "postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE odd_adopted STRATEGY FILE_COPY")
        run(on_database(postgres, "odd_adopted"), OLD)
        carry_out(on_database(postgres, "odd_adopted"), "expand")
        yield "odd_adopted"
        connection.execute("DROP DATABASE odd_adopted WITH (FORCE)")


@pytest.fixture
def adopted(adopted_name: str, make_database: Callable[[str], str]) -> str:
    return make_database(adopted_name)


def test_rows_of_which_clients_hear_everything_can_still_be_changed(empty_dsn: str) -> None:
    run(
        empty_dsn,
        OLD + "CREATE PUBLICATION supabase_realtime;"
        "ALTER TABLE profiles REPLICA IDENTITY FULL; ALTER TABLE matches REPLICA IDENTITY FULL",
    )
    carry_out(empty_dsn, "expand")
    run(empty_dsn, "UPDATE profiles SET name = 'Eve'; UPDATE matches SET similarity_score = .5")
    carry_out(empty_dsn, "finish")
    run(empty_dsn, "UPDATE profiles SET name = 'Ada'; UPDATE matches SET similarity_score = .6")
