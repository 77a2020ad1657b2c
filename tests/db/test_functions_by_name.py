"""Functions that clients of the old app call by name: what they find, by which index, and for whom."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from psycopg.sql import SQL, Identifier
from pydantic import SecretStr

from db.migrate import upgrade
from db.pool import Database
from db.system_settings import SystemSettingsTable
from matching.scoring import MIN_QUALITY
from matching.worker import MatchWorker
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.types import Embedding, ModelInfo
from tests.support.no_models import NoModels
from tests.support.postgres import on_database
from tests.support.rows import DIGEST, OTHER_DIGEST, embeddings
from tests.support.rows_many import FACES_EACH, vectors
from tests.support.rows_matching import ALIKE, add_celebrities, add_person, add_user, famous
from tests.support.supabase import SUPABASE, run

PROBE = embeddings(1, seed=8)[0]
ARGUMENTS = {
    "find_similar_faces": "query_embedding vector, match_threshold double precision DEFAULT 0.5,"
    " match_count integer DEFAULT 20, exclude_profile_id uuid DEFAULT NULL::uuid",
    "find_celebrity_matches": "query_embedding vector, match_count integer DEFAULT 10",
}
RESULTS = {
    "find_similar_faces": "TABLE(face_id uuid, profile_id uuid, similarity double precision, image_path text,"
    " profile_name text, profile_type text)",
    "find_celebrity_matches": "TABLE(face_id uuid, celebrity_name text, similarity double precision,"
    " image_path text)",
}
"""Of backend-migration.md, "Create Vector Search Functions"."""

DOCUMENTED = """
    CREATE OR REPLACE FUNCTION find_similar_faces(
        query_embedding vector(512), match_threshold float DEFAULT 0.5, match_count int DEFAULT 20,
        exclude_profile_id uuid DEFAULT NULL
    )
    RETURNS TABLE (
        face_id uuid, profile_id uuid, similarity float, image_path text, profile_name text, profile_type text
    )
    LANGUAGE plpgsql AS $$ BEGIN RETURN; END; $$;
    CREATE OR REPLACE FUNCTION find_celebrity_matches(query_embedding vector(512), match_count int DEFAULT 10)
    RETURNS TABLE (face_id uuid, celebrity_name text, similarity float, image_path text)
    LANGUAGE plpgsql AS $$ BEGIN RETURN; END; $$;
    GRANT EXECUTE ON FUNCTION find_similar_faces TO authenticated;
    GRANT EXECUTE ON FUNCTION find_celebrity_matches TO authenticated;
    ALTER TABLE matches ADD COLUMN match_type text;
    ALTER TABLE messages ADD COLUMN ai_status text;
    ALTER TABLE babies ADD COLUMN ai_status text;
"""
"""As the old app has them; what they find does not matter."""


async def call(database: Database, function: str, **arguments: object) -> list[dict[str, Any]]:
    """As PostgREST does: arguments by name, with defaults for those that are not given."""
    named = ", ".join(f"{name} => ${place}" for place, name in enumerate(arguments, start=1))
    rows = await database.fetch(f"SELECT * FROM {function}({named})", *arguments.values())
    return [dict(row) for row in rows]


def similarities(rows: list[dict[str, Any]]) -> list[float]:
    return [row["similarity"] for row in rows]


# What is found ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ARGUMENTS)
async def test_signatures_are_the_documented_ones(database: Database, function: str) -> None:
    rows = await database.fetch(
        "SELECT pg_get_function_arguments(oid), pg_get_function_result(oid) FROM pg_proc WHERE proname = $1",
        function,
    )
    assert [tuple(row) for row in rows] == [(ARGUMENTS[function], RESULTS[function])]


async def test_the_most_similar_faces_come_first(many_faces: Database) -> None:
    found = await call(many_faces, "find_similar_faces", query_embedding=PROBE, match_threshold=-1.0)
    exact = np.argsort(-(np.stack(vectors()) @ PROBE))[:20]
    assert len({row["image_path"] for row in found} & {f"faces/{n}.jpg" for n in exact}) >= 19
    assert similarities(found) == sorted(similarities(found), reverse=True)
    for row in found:
        number = int(row["image_path"].removeprefix("faces/").removesuffix(".jpg"))
        assert row["similarity"] == pytest.approx(float(vectors()[number] @ PROBE), abs=1e-6)
        assert (row["profile_name"], row["profile_type"]) == (f"User {number // FACES_EACH}", "user")


async def test_a_search_is_bounded_as_its_caller_says(many_faces: Database) -> None:
    [best, *_] = found = await call(
        many_faces, "find_similar_faces", query_embedding=vectors()[0], match_threshold=-1.0, match_count=50
    )
    assert len(found) == 50
    assert best["image_path"] == "faces/0.jpg"
    least = found[9]["similarity"]
    above = await call(
        many_faces,
        "find_similar_faces",
        query_embedding=vectors()[0],
        match_threshold=least - 1e-9,
        match_count=50,
    )
    assert above == found[:10]
    others = await call(
        many_faces, "find_similar_faces",
        query_embedding=vectors()[0], match_threshold=-1.0, exclude_profile_id=best["profile_id"],
    )  # fmt: skip
    assert len(others) == 20
    assert best["profile_id"] not in {row["profile_id"] for row in others}
    every = await call(
        many_faces, "find_similar_faces", query_embedding=PROBE, match_threshold=-1.0, match_count=10**9
    )
    assert len(every) == 1000


@pytest.mark.parametrize(
    ("face", "found"),
    [
        ({}, True),
        ({"quality_score": MIN_QUALITY}, True),
        ({"quality_score": MIN_QUALITY - 0.01}, False),
        ({"quality_score": None}, True),
        ({"pack_digest": OTHER_DIGEST}, False),
        ({"embedding": None, "pack_digest": None}, False),
        ({"embedding": -ALIKE}, False),
    ],
)
@pytest.mark.parametrize(
    ("function", "of_whom"),
    [
        ("find_similar_faces", {}),
        ("find_similar_faces_filtered", {"user_school": "mit", "user_gender": "female"}),
    ],
)
async def test_faces_are_searched_by_the_rules_of_matching(
    database: Database, function: str, of_whom: dict[str, str], face: dict[str, object], found: bool
) -> None:
    ada = await add_person(database, gender="male")
    await add_person(database, gender="male")
    other = await add_person(database, gender="male", face=face)
    rows = await call(database, function, query_embedding=ALIKE, **of_whom)
    assert (other in {row["face_id"] for row in rows}) is found
    assert ada in {row["face_id"] for row in rows}


@pytest.mark.parametrize(
    ("profile", "asked", "found"),
    [
        ({}, {}, True),
        ({"gender": "other"}, {}, True),
        ({"gender": "female"}, {}, False),
        ({"gender": None}, {}, False),
        ({"school": "yale"}, {}, False),
        ({"school": None}, {}, False),
        ({"profile_type": "celebrity"}, {}, False),
        ({}, {"user_gender": None}, False),
        ({}, {"user_school": None}, False),
        ({}, {"match_threshold": 1.1}, False),
        ({}, {"match_count": 0}, False),
    ],
)
async def test_the_filtered_search_keeps_to_school_and_gender(
    database: Database, profile: dict[str, object], asked: dict[str, object], found: bool
) -> None:
    other = await add_person(database, **{"gender": "male", **profile})  # type: ignore[arg-type]
    arguments = {"user_school": "mit", "user_gender": "female", **asked}
    rows = await call(database, "find_similar_faces_filtered", query_embedding=ALIKE, **arguments)
    assert [row["face_id"] for row in rows] == ([other] if found else [])
    owner = await database.fetchval("SELECT profile_id FROM faces")
    rows = await call(
        database, "find_similar_faces_filtered", query_embedding=ALIKE, exclude_profile_id=owner, **arguments
    )
    assert rows == []


async def test_celebrities_are_those_of_the_gallery(database: Database) -> None:
    stars = await add_celebrities(
        database,
        famous(1),
        famous(2, gender=None),
        famous(3, quality_score=MIN_QUALITY - 0.01),
        famous(4, pack_digest=OTHER_DIGEST),
    )
    await add_person(database, profile_type="celebrity")
    rows = await call(database, "find_celebrity_matches", query_embedding=ALIKE)
    assert {row["face_id"]: row["celebrity_name"] for row in rows} == {
        stars[0]: "Celebrity 1",
        stars[1]: "Celebrity 2",
    }
    assert similarities(rows) == pytest.approx([1, 1])
    assert len(await call(database, "find_celebrity_matches", query_embedding=ALIKE, match_count=1)) == 1


async def test_the_pack_of_most_faces_is_searched(database: Database) -> None:
    theirs = [await add_person(database, face={"pack_digest": OTHER_DIGEST}) for _ in range(2)]
    ours = await add_person(database)

    async def found() -> set[UUID]:
        return {row["face_id"] for row in await call(database, "find_similar_faces", query_embedding=ALIKE)}

    assert await found() == {*theirs}
    more = [await add_person(database) for _ in range(2)]
    assert await found() == {ours, *more}


@pytest.mark.parametrize("function", ["find_similar_faces", "find_celebrity_matches"])
@pytest.mark.parametrize("probe", [np.zeros(512, np.float32), np.ones(512, np.float32)])
async def test_a_search_among_nothing_or_for_nothing_finds_nothing(
    database: Database, function: str, probe: Embedding
) -> None:
    assert await call(database, function, query_embedding=probe) == []
    if not probe.any():
        await add_person(database)
        await add_celebrities(database, famous(1))
        assert await call(database, function, query_embedding=probe) == []


async def test_the_advanced_similarity_is_the_score_of_a_match(database: Database, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, database_url=SecretStr("postgresql://unused"))
    worker = MatchWorker(database, open_storage(settings), NoModels(), ModelInfo("test", DIGEST), settings)
    one = await add_person(database, face={"age": 33, "expression": "sad", "symmetry_score": 0.4})
    other = await add_person(
        database, gender="male", face={"embedding": vectors()[0], "geometry_ratios": None}
    )
    await SystemSettingsTable(database).change({"match_threshold": 0.0}, by=await add_user(database))
    others = ("geometry", "age", "symmetry", "skin_tone", "expression")
    for weight in (0.5, 0.9):
        weights = {"embedding": weight, **dict.fromkeys(others, (1 - weight) / len(others))}
        await database.execute(
            "UPDATE system_settings SET value = $1 WHERE key = 'matching_weights'", weights
        )
        await database.execute(
            "INSERT INTO match_jobs (face_id, user_id) SELECT id, profile_id FROM faces WHERE id = $1", one
        )
        await worker.process()
        [calculated] = await call(database, "calculate_advanced_similarity", face_a_id=one, face_b_id=other)
        stored = await database.fetchrow("SELECT * FROM matches")
        assert stored is not None
        assert calculated == pytest.approx({name: stored[name] for name in calculated})


@pytest.mark.parametrize(
    "face", [{"pack_digest": OTHER_DIGEST}, {"embedding": None, "pack_digest": None}, None]
)
async def test_what_cannot_be_compared_has_no_similarity(
    database: Database, face: dict[str, object] | None
) -> None:
    one = await add_person(database)
    other = uuid4() if face is None else await add_person(database, face=face)
    assert await call(database, "calculate_advanced_similarity", face_a_id=one, face_b_id=other) == []


@pytest.mark.parametrize("length", [1e-6, 1e6])
async def test_the_length_of_an_embedding_does_not_count(database: Database, length: float) -> None:
    """The index holds halves, of 6e-8 to 65,504."""
    stored = embeddings(5)
    for vector in stored:
        await add_person(database, face={"embedding": vector * np.float32(length)})
    found = await call(
        database, "find_similar_faces", query_embedding=PROBE / np.float32(length), match_threshold=-1.0
    )
    assert similarities(found) == pytest.approx(sorted(map(float, stored @ PROBE), reverse=True), abs=1e-5)


# By which index ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "index", "table"),
    [
        ("find_similar_faces", "faces_embedding_half_idx", "faces"),
        ("find_celebrity_matches", "celebrities_embedding_half_idx", "celebrities"),
    ],
)
async def test_a_search_reads_the_vector_index_and_not_the_table(
    many_faces: Database, function: str, index: str, table: str
) -> None:
    """EXPLAIN does not look into such a function, but the server counts what its plan reads."""
    async with many_faces.transaction() as connection:
        await connection.fetch(f"SELECT * FROM {function}(query_embedding => $1)", PROBE)
        assert await connection.fetchval(f"SELECT pg_stat_get_xact_numscans('{index}'::regclass)") == 1
        # Rows read by sequential scans.
        assert await connection.fetchval(f"SELECT pg_stat_get_xact_numscans('{table}'::regclass)") == 0


def walk(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in walk(child))]


async def plan_of(database: Database, call: str) -> list[dict[str, Any]]:
    [plan] = json.loads(await database.fetchval(f"EXPLAIN (FORMAT JSON) SELECT * FROM {call}"))
    return walk(plan["Plan"])


async def test_the_filtered_search_reads_one_school(many_faces: Database) -> None:
    vector = "'[" + ",".join(map(str, PROBE)) + "]'::vector"
    nodes = await plan_of(many_faces, f"find_similar_faces_filtered({vector}, 'school 1', 'male')")
    indexes = {node.get("Index Name") for node in nodes}
    assert {"idx_profiles_school_key_gender", "idx_faces_profile_id"} <= indexes
    scanned = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"}
    assert not scanned & {"faces", "profiles"}


async def test_the_advanced_similarity_of_many_pairs_is_one_plan(many_faces: Database) -> None:
    pairs = "(SELECT min(id::text)::uuid AS a, max(id::text)::uuid AS b FROM faces GROUP BY profile_id)"
    nodes = await plan_of(many_faces, f"{pairs} CROSS JOIN LATERAL calculate_advanced_similarity(a, b)")
    assert "Function Scan" not in {node["Node Type"] for node in nodes}
    one = await plan_of(many_faces, f"calculate_advanced_similarity('{uuid4()}', '{uuid4()}')")
    assert {node.get("Index Name") for node in one} >= {"faces_pkey"}


@pytest.mark.parametrize("function", ["find_similar_faces", "find_celebrity_matches"])
async def test_a_search_leaves_no_settings_behind(many_faces: Database, function: str) -> None:
    await many_faces.fetch(f"SELECT * FROM {function}($1)", PROBE)
    settings = await many_faces.fetchrow(
        "SELECT current_setting('hnsw.ef_search'), current_setting('hnsw.iterative_scan'),"
        " current_setting('plan_cache_mode')"
    )
    assert settings is not None
    assert tuple(settings) == ("40", "off", "auto")


# For whom ---------------------------------------------------------------------------------------------

VECTOR = "[" + ",".join(["1"] * 512) + "]"
CALLS = {
    "find_similar_faces": "SELECT profile_id FROM public.find_similar_faces(query_embedding => '{vector}')",
    "find_own_similar_faces": "SELECT profile_id"
    " FROM public.find_own_similar_faces('{vector}', 0.5, 20, NULL)",
    "find_similar_faces_filtered": "SELECT profile_id FROM public.find_similar_faces_filtered("
    "query_embedding => '{vector}', user_school => 'mit', user_gender => 'female')",
    "find_celebrity_matches": "SELECT face_id"
    " FROM public.find_celebrity_matches(query_embedding => '{vector}')",
    "calculate_advanced_similarity": "SELECT similarity_score FROM public.calculate_advanced_similarity("
    "(SELECT min(face_id::text)::uuid FROM public.match_jobs),"
    " (SELECT max(face_id::text)::uuid FROM public.match_jobs))",
}
ALLOWED = {
    "anon": set[str](),
    "authenticated": {"find_similar_faces", "find_own_similar_faces", "find_celebrity_matches"},
    "semblance_service": CALLS.keys() - {"find_own_similar_faces"},
    "service_role": set(CALLS),
}


class LookalikeWorld:
    """A database with two users who look alike, and a celebrity; `connection` is the owner's."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        self.users = [uuid4(), uuid4()]
        for user, gender in zip(self.users, ("female", "male"), strict=True):
            connection.execute(
                "INSERT INTO profiles (id, profile_type, gender, school) VALUES (%s, 'user', %s, 'mit')",
                [user, gender],
            )
            connection.execute(
                "INSERT INTO faces (profile_id, image_path, embedding, pack_digest) VALUES (%s, 'x', %s, %s)",
                [user, VECTOR, DIGEST],
            )
        connection.execute(
            "INSERT INTO celebrities (name, image_path, embedding, pack_digest) VALUES ('A', 'c', %s, %s)",
            [VECTOR, DIGEST],
        )

    @contextmanager
    def acting(self, role: str, before: str = "SELECT") -> Iterator[psycopg.Connection]:
        """A transaction as PostgREST begins one, for the first user; rolled back at the end."""
        with self.connection.transaction(force_rollback=True):
            self.connection.execute(before)
            claims = json.dumps({"sub": str(self.users[0]), "role": role})
            self.connection.execute("SELECT set_config('request.jwt.claims', %s, true)", [claims])
            self.connection.execute(SQL("SET LOCAL ROLE {}").format(Identifier(role)))
            yield self.connection


@pytest.fixture(scope="module", params=["plain", "supabase"])
def world(request: pytest.FixtureRequest, postgres: str) -> Iterator[LookalikeWorld]:
    """On our own server, and where pgvector lies elsewhere and every role gets every right."""
    name = f"by_name_{request.param}"
    dsn = on_database(postgres, name)
    with psycopg.connect(on_database(postgres, "postgres"), autocommit=True) as server:
        server.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        # The old app's database has it as well, where its tests ran before on this server.
        missing = server.execute("SELECT FROM pg_roles WHERE rolname = 'service_role'").rowcount == 0
        if missing:
            server.execute("CREATE ROLE service_role NOLOGIN BYPASSRLS")
        if request.param == "supabase":
            run(dsn, SUPABASE)
        grants = " ".join(
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON {kind} TO service_role;"
            for kind in ("TABLES", "SEQUENCES", "FUNCTIONS")
        )
        run(dsn, grants)
        upgrade(dsn)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("SELECT set_config('search_path', 'public, extensions', false)")
            yield LookalikeWorld(connection)
        server.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))
        if missing:
            server.execute("DROP ROLE service_role")


@pytest.mark.parametrize("role", ALLOWED)
@pytest.mark.parametrize("function", CALLS)
def test_who_may_call_what(world: LookalikeWorld, role: str, function: str) -> None:
    statement = CALLS[function].format(vector=VECTOR)
    with world.acting(role) as connection:
        if function not in ALLOWED[role]:
            with pytest.raises(InsufficientPrivilege):
                connection.execute(statement)
            return
        found = {row[0] for row in connection.execute(statement).fetchall()}
    if "similar_faces" in function:
        everybody = function == "find_similar_faces" and role != "authenticated"
        assert found == (set(world.users) if everybody else {world.users[function.endswith("filtered")]})
    else:
        assert len(found) == 1


def test_end_users_find_only_themselves_even_when_they_exclude_a_user(world: LookalikeWorld) -> None:
    statement = (
        f"SELECT FROM find_similar_faces('{VECTOR}', -1, 1000, exclude_profile_id => '{world.users[0]}')"
    )
    with world.acting("authenticated") as connection:
        assert connection.execute(statement).fetchall() == []
    with world.acting("authenticated") as connection:
        connection.execute("SELECT set_config('request.jwt.claims', '{}', true)")
        assert connection.execute(CALLS["find_similar_faces"].format(vector=VECTOR)).fetchall() == []


@pytest.mark.parametrize(
    ("role", "function"),
    [
        (role, function)
        for role in ("authenticated", "semblance_service")
        for function in sorted(ALLOWED[role])
    ],
)
def test_names_resolve_alike_despite_objects_of_the_caller(
    world: LookalikeWorld, role: str, function: str
) -> None:
    """Tables of the caller's session and an operator of theirs do not take the place of ours."""
    mine = f"""
        CREATE SCHEMA mine;
        CREATE FUNCTION mine.nothing(a vector, b vector) RETURNS float8 LANGUAGE sql RETURN 1 / 0;
        CREATE OPERATOR mine.<=> (LEFTARG = vector, RIGHTARG = vector, FUNCTION = mine.nothing);
        CREATE TABLE mine.faces (id uuid); CREATE TABLE mine.celebrities (id uuid);
        CREATE TABLE mine.profiles (id uuid);
        GRANT USAGE ON SCHEMA mine TO {role};
        GRANT SELECT ON ALL TABLES IN SCHEMA mine TO {role};
        SET LOCAL search_path = mine, public, extensions;
        CREATE TEMPORARY TABLE faces (id uuid); CREATE TEMPORARY TABLE celebrities (id uuid);
    """
    with world.acting(role) as connection:
        expected = connection.execute(CALLS[function].format(vector=VECTOR)).fetchall()
    with world.acting(role, before=mine) as connection:
        assert connection.execute(CALLS[function].format(vector=VECTOR)).fetchall() == expected


def test_functions_and_columns_of_the_old_app_are_adopted(empty_dsn: str) -> None:
    upgrade(empty_dsn, "0016")
    run(empty_dsn, DOCUMENTED)
    upgrade(empty_dsn)
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO celebrities (name, image_path, embedding, pack_digest) VALUES ('A', 'c', %s, %s)",
            [VECTOR, DIGEST],
        )
        found = connection.execute("SELECT celebrity_name FROM find_celebrity_matches(%s)", [VECTOR])
        assert found.fetchall() == [("A",)]
        callers = connection.execute(
            """
            SELECT proname, role, has_function_privilege(role, oid, 'EXECUTE')
            FROM pg_proc, unnest(ARRAY['authenticated', 'anon']) AS role
            WHERE proname IN ('find_similar_faces', 'find_celebrity_matches')
            """
        ).fetchall()
    assert set(callers) == {
        (function, role, role == "authenticated")
        for function in ARGUMENTS
        for role in ("authenticated", "anon")
    }


@pytest.mark.parametrize(
    ("table", "column"), [("matches", "match_type"), ("messages", "ai_status"), ("babies", "ai_status")]
)
async def test_columns_of_the_old_app_exist_and_are_empty(
    database: Database, table: str, column: str
) -> None:
    row = await database.fetchrow(
        "SELECT data_type, is_nullable, column_default FROM information_schema.columns"
        " WHERE table_name = $1 AND column_name = $2",
        table,
        column,
    )
    assert row is not None
    assert tuple(row) == ("text", "YES", None)
