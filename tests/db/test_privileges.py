"""Who may do what: the application's login and end users, on every table, here and on Supabase."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import UUID

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from psycopg.sql import SQL, Composed, Identifier

import db
from db.logins import application_dsn
from db.migrate import upgrade
from db.privileges import find_login
from db.queries import load_queries
from tests.support.postgres import on_database
from tests.support.rows import DIGEST, add_face, add_match, add_profile
from tests.support.supabase import SUPABASE

VECTOR = "[" + ",".join(["1"] * 512) + "]"
VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN")

Rights = dict[str, frozenset[str] | Literal["all"]]
"""Columns by verb."""


def rights(text: str) -> Rights:
    """Parse `select; update name school; delete`: a verb without columns applies to all of them."""
    parsed: Rights = {}
    for part in filter(None, (part.split() for part in text.split(";"))):
        verb, *columns = part
        parsed[verb.upper()] = frozenset(columns) if columns else "all"
    return parsed


def columns(text: str, verb: str) -> frozenset[str]:
    """The columns a verb is restricted to; empty if the verb is not granted."""
    found = rights(text).get(verb, frozenset())
    assert found != "all"
    return frozenset(found)


@dataclass(frozen=True)
class Line:
    """One table's expectations. rows: which of them an end user reads and changes."""

    service: str
    user: str = ""
    anon: str = ""
    rows: Literal["own", "all", "none"] = "own"


FACTORS = "factor_embedding factor_geometry factor_age factor_symmetry factor_skin_tone factor_expression"
CELEBRITY = "select id name bio category gender image_path created_at updated_at"
SETTING = "select key value description updated_at"
MATCH = "select id face_a_id face_b_id similarity_score created_at"

TABLES = {
    "profiles": Line(
        "select; insert id profile_type email name gender school;"
        " update name gender school default_face_id last_seen show_presence text_generation message_search"
        " bio",
        "select id name gender school default_face_id last_seen; update name gender school default_face_id",
    ),
    "faces": Line("select; insert; update; delete", "select id profile_id image_path created_at"),
    "matches": Line("select; insert; update; delete", MATCH, MATCH, rows="all"),
    "match_counts": Line("select"),
    "celebrities": Line(
        "select; insert; update seen_gender name bio category gender person_id; delete; maintain",
        CELEBRITY,
        CELEBRITY,
        rows="all",
    ),
    "people": Line("select; insert; update name bio category gender; delete"),
    "gallery_deletions": Line("select; insert; update; delete"),
    "gallery_deleted_rows": Line("select; insert"),
    "celebrity_changes": Line("select; delete"),
    "celebrity_matches": Line(
        "select; insert; update; delete",
        f"select id face_id celebrity_id similarity_score {FACTORS} created_at updated_at",
    ),
    "reactions": Line(
        "select; insert; delete", "select; insert match_id user_profile_id reaction_type; delete"
    ),
    "babies": Line("select; insert", "select"),
    "baby_requests": Line("select; insert; update; delete"),
    "match_jobs": Line("select; update; delete", "select"),
    "notifications": Line("select; insert; update; delete", "select; update read_at; delete"),
    "mutual_connections": Line("select; insert; update", "select"),
    "messages": Line(
        "select; insert; update",
        "select; insert connection_id sender_id content message_type; update read_at",
    ),
    "system_settings": Line(
        "select; insert; update",
        f"{SETTING}; insert key value description updated_by; update value description updated_by; delete",
        SETTING,
        rows="all",
    ),
    "user_daily_quotas": Line("select; insert; update; delete", "select"),
    "generation_logs": Line("select; insert; update; delete"),
    "inference_queue": Line("select; insert; update; delete"),
    "bio_words": Line("select"),
    "text_embeddings": Line("select; insert; delete"),
    "schools": Line("select; insert; update; delete"),
    "school_keys": Line("select"),
    "api_keys": Line("select; insert name prefix hash scopes; update last_used_at revoked_at"),
    "events": Line("select; delete"),
    "revoked_sessions": Line("select; insert; delete"),
    "console_codes": Line("select; insert hash; delete"),
    "console_sessions": Line(
        "select; insert hash profile_id token_session; update last_used_at revoked_at; delete"
    ),
    "audit_log": Line("select; insert actor action target before after"),
    "ray_jobs": Line("select; insert; update"),
    "rescorings": Line("select; insert; update"),
    "ingestions": Line("select; insert; update; delete"),
    "ingestion_files": Line("select; insert; update; delete"),
    "ingestion_refusals": Line("select; insert; update; delete"),
    "realtime_replicas": Line("select; insert; update; delete"),
    "realtime_sessions": Line("select; insert; update; delete"),
    "rematch_runs": Line("select; insert; update; delete"),
    "rematch_shards": Line("select; insert; update; delete"),
    "match_generations": Line("select; insert; update"),
    "settled_faces": Line("select; insert; update"),
    "spare_face_embeddings": Line("select; insert; delete"),
    "spare_celebrity_embeddings": Line("select; insert; delete"),
    "object_deletions": Line("select; insert; update; delete"),
    "face_searches": Line(
        "select created_at; delete;"
        " insert profile_id api_key_id console_session_id school gender max_results results request_id",
        "select",
        rows="none",
    ),
    "searchable_chats": Line("select"),
    "embeddable_texts": Line("select"),
    "pack_in_force": Line("select"),
    "face_embeddings": Line("select"),
    "celebrity_embeddings": Line("select"),
    "faces_in_force": Line("select"),
    "face_traits": Line("select"),
    "celebrity_traits": Line("select"),
    "alembic_version": Line(""),
}
VIEWS = {
    *("face_traits", "celebrity_traits", "face_embeddings", "celebrity_embeddings", "faces_in_force"),
    *("searchable_chats", "embeddable_texts"),
}

# Functions that run as their owner and that end users may call.
CALLABLE = {
    "authenticated": {
        *("is_admin()", "my_connections(boolean)", "my_contacts()", "my_faces()", "my_matches()"),
        "find_celebrity_matches(vector,integer)",
        "find_own_similar_faces(vector,double precision,integer,uuid)",
        "am_blocked()",
    },
    "anon": set(),
    "semblance_service": {
        "find_celebrity_matches(vector,integer)",
        "schema_revision()",
        "tell_of_draft(uuid,uuid,integer,text)",
        "tell_operators(text,jsonb)",
        *("change_role(uuid,text)", "change_block(uuid,boolean)", "delete_account(uuid)"),
        "find_accounts(uuid,text,text,boolean,timestamp with time zone,uuid,integer)",
        "is_blocked(uuid)",
    },
}

# Queries that only the owner runs, by command.
OWNERS_QUERIES = {
    *("set_role", "put_in_force", "replace_own_celebrity_embeddings", "analyze_spare_embeddings"),
    *("replace_celebrity_picture", "replace_baby_picture"),
}


KEYS = {
    "user_daily_quotas": "profile_id",
    "system_settings": "key",
    "bio_words": "profile_id",
    "text_embeddings": "source_id",
    "embeddable_texts": "source_id",
}


@dataclass(frozen=True)
class ChattingPair:
    """Two users with a match, a chat, and a row in every table that end users read."""

    one: UUID
    other: UUID
    face: UUID
    match: UUID
    chat: UUID
    rows: dict[str, set[object]]
    """Keys of the rows that the first user may read, by table."""


@dataclass(frozen=True)
class TwoPairsWorld:
    """A database with two pairs of users. `connection`: the owner's."""

    dsn: str
    connection: psycopg.Connection
    ours: ChattingPair
    theirs: ChattingPair

    @contextmanager
    def acting(
        self, role: str = "authenticated", profile: UUID | None = None, before: str = "SELECT"
    ) -> Iterator[psycopg.Connection]:
        """A transaction as PostgREST begins one, by default for the first user; rolled back at the end.

        before: what the owner does in it first.
        """
        claims = f'{{"sub": "{profile or self.ours.one}", "role": "{role}"}}'
        with self.connection.transaction(force_rollback=True):
            self.connection.execute(before)
            self.connection.execute("SELECT set_config('request.jwt.claims', %s, true)", [claims])
            self.connection.execute(SQL("SET LOCAL ROLE {}").format(Identifier(role)))
            yield self.connection

    def mine(self, table: str) -> set[object]:
        """Keys of the rows that the first user reads."""
        which = TABLES[table].rows
        return self.ours.rows[table] if which == "own" else self.all(table) if which == "all" else set()

    def all(self, table: str) -> set[object]:
        return keys(self.connection, table)


def keys(connection: psycopg.Connection, table: str) -> set[object]:
    query = SQL("SELECT {} FROM {}").format(key(table), Identifier(table))
    return {found for (found,) in connection.execute(query).fetchall()}


def key(table: str) -> Identifier:
    return Identifier(KEYS.get(table, "id"))


def make_pair(connection: psycopg.Connection, number: int) -> ChattingPair:
    def insert(table: str, **columns: object) -> UUID:
        statement = SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING {}").format(
            Identifier(table),
            SQL(", ").join(map(Identifier, columns)),
            SQL(", ").join(SQL("%s") * len(columns)),
            key(table),
        )
        return found(connection, statement, *columns.values())

    one, other = (
        add_profile(connection, name=f"Ada {number}.{place}", email=f"{number}.{place}@uni.edu")
        for place in range(2)
    )
    face, other_face = (add_face(connection, who) for who in (one, other))
    match = add_match(connection, face, other_face)
    baby = insert("babies", match_id=match, generated_by_profile_id=other, image_url="b.jpg")
    chat = insert("mutual_connections", profile_a_id=other, profile_b_id=one, match_id=match)
    celebrity = insert("celebrities", name="A", image_path="c.jpg", embedding=VECTOR, pack_digest=DIGEST)
    insert("generation_logs", profile_id=one, provider="local", model="m", status="completed")
    insert("face_searches", profile_id=one, max_results=10, results=1, request_id="r")
    rows: dict[str, set[object]] = {}
    # Rows of the other user come first.
    for who, whose_face in ((other, other_face), (one, face)):
        rows = {
            "profiles": {one, other},
            "faces": {whose_face},
            "celebrity_matches": {
                insert("celebrity_matches", face_id=whose_face, celebrity_id=celebrity, similarity_score=0.5)
            },
            "reactions": {insert("reactions", user_profile_id=who, match_id=match, reaction_type="viewed")},
            "babies": {baby},
            "match_jobs": {found(connection, SQL("SELECT id FROM match_jobs WHERE user_id = %s"), who)},
            "notifications": {insert("notifications", user_id=who, type="baby_generated", title="A baby")},
            "mutual_connections": {chat},
            "messages": {insert("messages", connection_id=chat, sender_id=who, content="Hi")}
            | rows.get("messages", set()),
            "user_daily_quotas": {insert("user_daily_quotas", profile_id=who, kind="photo_upload", count=1)},
        }
    return ChattingPair(one, other, face, match, chat, rows)


def found(connection: psycopg.Connection, statement: SQL | Composed, *values: object) -> UUID:
    row = connection.execute(statement, values).fetchone()
    assert row is not None
    value: UUID = row[0]
    return value


@pytest.fixture(scope="module", params=["plain", "supabase"])
def world(request: pytest.FixtureRequest, postgres: str) -> Iterator[TwoPairsWorld]:
    """On our own server, and where roles, functions and default privileges exist already."""
    name = f"privileges_{request.param}"
    dsn = on_database(postgres, name)
    with psycopg.connect(on_database(postgres, "postgres"), autocommit=True) as server:
        server.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        with psycopg.connect(dsn, autocommit=True) as connection:
            if request.param == "supabase":
                connection.execute(SUPABASE)
        upgrade(dsn)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("SELECT set_config('search_path', 'public, extensions', false)")
            yield TwoPairsWorld(dsn, connection, make_pair(connection, 1), make_pair(connection, 2))
        server.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


@contextmanager
def about(what: str) -> Iterator[None]:
    """Let a failure name what it is about. A test for each table and query would take longer to begin and to
    end than to run."""
    try:
        yield
    except BaseException as exc:
        exc.add_note(f"This is about {what}.")
        raise


def names(world: TwoPairsWorld, query: str) -> set[str]:
    return {name for (name,) in world.connection.execute(query).fetchall()}


def test_every_table_has_a_line_here(world: TwoPairsWorld) -> None:
    """A new one needs row-level security, privileges, and a decision on who reads it."""
    relations = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind "
    extension = " AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')"
    assert names(world, relations + "NOT IN ('i', 'I', 'S', 'c', 't')" + extension) == TABLES.keys()
    assert names(world, relations + "IN ('v', 'm')" + extension) == VIEWS


def test_every_table_has_row_level_security(world: TwoPairsWorld) -> None:
    open_tables = """
        SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relrowsecurity
    """
    assert names(world, open_tables) == set()


def test_every_view_reads_with_the_rights_of_its_reader(world: TwoPairsWorld) -> None:
    invokers = """
        SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND 'security_invoker=true' = ANY (reloptions)
    """
    assert names(world, invokers) == VIEWS


def held(world: TwoPairsWorld, table: str, role: str) -> Rights:
    actual: Rights = {}
    for verb in VERBS:
        if verb == "MAINTAIN" and world.connection.info.server_version < 170000:
            continue
        arguments = {"role": role, "table": f"public.{table}", "verb": verb}
        whole = "SELECT has_table_privilege(%(role)s, %(table)s, %(verb)s)"
        if world.connection.execute(whole, arguments).fetchone() == (True,):
            actual[verb] = "all"
        elif verb in {"SELECT", "INSERT", "UPDATE", "REFERENCES"}:
            columns = world.connection.execute(
                """
                SELECT attname FROM pg_attribute
                WHERE attrelid = %(table)s::regclass AND attnum > 0 AND NOT attisdropped
                    AND has_column_privilege(%(role)s, attrelid, attnum, %(verb)s)
                """,
                arguments,
            ).fetchall()
            if columns:
                actual[verb] = frozenset(name for (name,) in columns)
    return actual


@pytest.mark.parametrize("role", ["semblance_service", "authenticated", "anon"])
def test_privileges_are_exactly_these(world: TwoPairsWorld, role: str) -> None:
    for table, line in TABLES.items():
        expected = {"semblance_service": line.service, "authenticated": line.user, "anon": line.anon}[role]
        assert held(world, table, role) == rights(expected), table


@pytest.mark.parametrize("role", ["semblance_service", "authenticated", "anon"])
def test_no_role_has_privileges_on_sequences(world: TwoPairsWorld, role: str) -> None:
    """They are used by defaults and triggers; a caller who sets one breaks the order of what it numbers."""
    reachable = f"""
        SELECT seqrelid::regclass::text FROM pg_sequence
        WHERE has_sequence_privilege('{role}', seqrelid, 'USAGE, SELECT, UPDATE')
    """
    assert names(world, reachable) == set()


@pytest.mark.parametrize("role", ["semblance_service", "authenticated", "anon"])
def test_functions_that_run_as_their_owner_are_closed(world: TwoPairsWorld, role: str) -> None:
    """Also those of triggers: a caller who may execute one could put it on a temporary table."""
    callable_ones = f"""
        SELECT oid::regprocedure::text FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND prosecdef
            AND has_function_privilege('{role}', oid, 'EXECUTE')
    """
    assert names(world, callable_ones) == CALLABLE[role]


def test_no_function_depends_on_the_search_path_of_its_caller(world: TwoPairsWorld) -> None:
    unsafe = """
        SELECT oid::regprocedure::text FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND prosqlbody IS NULL
            AND NOT ('search_path=""' = ANY (coalesce(proconfig, '{}')))
            AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
    """
    assert names(world, unsafe) == set()


# What end users do, table by table and verb by verb ---------------------------------------------------


@pytest.mark.parametrize("role", ["authenticated", "anon"])
def test_an_end_user_reads(world: TwoPairsWorld, role: str) -> None:
    for table, line in TABLES.items():
        allowed = rights(line.user if role == "authenticated" else line.anon).get("SELECT")
        with about(table), world.acting(role) as connection:
            if allowed is None:
                with pytest.raises(InsufficientPrivilege):
                    connection.execute(SQL("SELECT FROM {}").format(Identifier(table)))
            else:
                assert keys(connection, table) == world.mine(table)
                assert world.mine(table) or line.rows == "none"
        if line.rows != "all" and allowed is not None:
            assert world.all(table) > world.mine(table), table


def columns_of(world: TwoPairsWorld, table: str) -> set[str]:
    return names(
        world,
        f"""
        SELECT attname FROM pg_attribute
        WHERE attrelid = 'public.{table}'::regclass AND attnum > 0 AND NOT attisdropped
        """,
    )


def other_columns(world: TwoPairsWorld, role: str, verb: str) -> Iterator[tuple[str, str]]:
    """Table and column of all that an end user may not name with this verb."""
    for table in sorted(TABLES.keys() - VIEWS):
        allowed = columns(TABLES[table].user, verb) if role == "authenticated" else set()
        yield from ((table, column) for column in columns_of(world, table) - allowed)


@pytest.mark.parametrize("role", ["authenticated", "anon"])
def test_an_end_user_changes_no_other_column(world: TwoPairsWorld, role: str) -> None:
    for table, column in other_columns(world, role, "UPDATE"):
        statement = SQL("UPDATE {} SET {} = DEFAULT").format(Identifier(table), Identifier(column))
        with (
            about(f"{table}.{column}"),
            world.acting(role) as connection,
            pytest.raises(InsufficientPrivilege),
        ):
            connection.execute(statement)


@pytest.mark.parametrize("role", ["authenticated", "anon"])
def test_an_end_user_inserts_no_other_column(world: TwoPairsWorld, role: str) -> None:
    for table, column in other_columns(world, role, "INSERT"):
        statement = SQL("INSERT INTO {} ({}) VALUES (DEFAULT)").format(Identifier(table), Identifier(column))
        with (
            about(f"{table}.{column}"),
            world.acting(role) as connection,
            pytest.raises(InsufficientPrivilege),
        ):
            connection.execute(statement)


@pytest.mark.parametrize("role", ["authenticated", "anon"])
def test_an_end_user_deletes(world: TwoPairsWorld, role: str) -> None:
    for table in sorted(TABLES.keys() - VIEWS):
        with about(table), world.acting(role) as connection:
            statement = SQL("DELETE FROM {}").format(Identifier(table))
            if role == "anon" or "DELETE" not in rights(TABLES[table].user):
                with pytest.raises(InsufficientPrivilege):
                    connection.execute(statement)
            else:
                mine = world.mine(table) if TABLES[table].rows == "own" else set()
                assert connection.execute(statement).rowcount == len(mine)
                connection.execute("RESET ROLE")
                assert keys(connection, table) == world.all(table) - mine


@pytest.mark.parametrize("role", ["authenticated", "anon"])
def test_an_end_user_never_truncates(world: TwoPairsWorld, role: str) -> None:
    for table in sorted(TABLES.keys() - VIEWS):
        with about(table), world.acting(role) as connection, pytest.raises(InsufficientPrivilege):
            connection.execute(SQL("TRUNCATE {} CASCADE").format(Identifier(table)))


def changed(
    world: TwoPairsWorld, statement: str, *values: object, profile: UUID | None = None, before: str = "SELECT"
) -> int:
    """How many rows a user's statement changes; by default the first user's."""
    with world.acting(profile=profile, before=before) as connection:
        return connection.execute(statement, values or None).rowcount


def test_only_profiles_of_contacts_are_visible_and_none_can_be_changed(world: TwoPairsWorld) -> None:
    assert changed(world, "UPDATE profiles SET name = 'Eve'") == 1
    for whose in (world.ours.other, world.theirs.one):
        assert changed(world, "UPDATE profiles SET name = 'Eve' WHERE id = %s", whose) == 0
    blocked = f"UPDATE mutual_connections SET status = 'blocked' WHERE id = '{world.ours.chat}'"
    with world.acting(before=blocked) as connection:
        assert keys(connection, "profiles") == {world.ours.one}


@pytest.mark.parametrize(
    ("column", "value", "taken"),
    [
        ("name", "Ada Lovelace", True),
        ("name", "Ådä 🙂", True),
        ("name", None, True),
        ("name", "x" * 100, True),
        ("name", "x" * 101, False),
        ("name", "  ", False),
        ("name", "a\nb", False),
        ("school", "mit", True),
        ("school", "x" * 101, False),
        ("gender", "other", True),
        ("default_face_id", "mine", True),
        ("default_face_id", "theirs", False),
    ],
)
def test_harmless_profile_values_are_accepted(
    world: TwoPairsWorld, column: str, value: str | None, taken: bool
) -> None:
    given = {"mine": world.ours.face, "theirs": world.theirs.face}.get(str(value), value)
    statement = f"UPDATE profiles SET {column} = %s WHERE id = %s"
    if taken:
        assert changed(world, statement, given, world.ours.one) == 1
    else:
        with pytest.raises(InsufficientPrivilege, match="row-level security"):
            changed(world, statement, given, world.ours.one)


REFUSED = {
    "queue a job": "INSERT INTO match_jobs (face_id, user_id) VALUES ('{face}', '{me}')",
    "run a job again": "UPDATE match_jobs SET status = 'pending'",
    "store a match": "INSERT INTO matches (face_a_id, face_b_id, similarity_score)"
    " VALUES ('{face}', '{face}', 1)",
    "raise a score": "UPDATE matches SET similarity_score = 1 WHERE id = '{match}'",
    "raise a celebrity's score": "UPDATE celebrity_matches SET similarity_score = 1",
    "forge a notification": "INSERT INTO notifications (user_id, type, title)"
    " VALUES ('{me}', 'mutual_match', 'x')",
    "rewrite a notification": "UPDATE notifications SET title = 'x'",
    "become an admin": "UPDATE profiles SET role = 'admin' WHERE id = '{me}'",
    "take an address": "UPDATE profiles SET email = 'dean@uni.edu' WHERE id = '{me}'",
    "become somebody else": "UPDATE profiles SET id = gen_random_uuid() WHERE id = '{me}'",
    "make a profile": "INSERT INTO profiles (id, profile_type) VALUES (gen_random_uuid(), 'user')",
    "store somebody's picture": "INSERT INTO faces (profile_id, image_path) VALUES ('{me}', 'faces/x.jpg')",
    "point to somebody's picture": "UPDATE faces SET image_path = 'faces/x.jpg'",
    "read embeddings": "SELECT embedding FROM faces",
    "read celebrities' embeddings": "SELECT embedding FROM celebrities",
    "read addresses": "SELECT email FROM profiles",
    "read roles": "SELECT role FROM profiles",
    "read factors of others": "SELECT factor_age FROM matches",
    "open a connection": "INSERT INTO mutual_connections (profile_a_id, profile_b_id, match_id)"
    " VALUES ('{me}', '{stranger}', '{match}')",
    "unblock a connection": "UPDATE mutual_connections SET status = 'active'",
    "have photos for free": "UPDATE user_daily_quotas SET count = 0",
    "store a baby": "INSERT INTO babies (match_id, image_url) VALUES ('{match}', 'x')",
    "edit a message": "UPDATE messages SET content = 'x'",
    "take a message back": "DELETE FROM messages",
    "like for somebody else": "INSERT INTO reactions (match_id, user_profile_id, reaction_type)"
    " VALUES ('{match}', '{friend}', 'like')",
    "like others' match": "INSERT INTO reactions (match_id, user_profile_id, reaction_type)"
    " VALUES ('{their_match}', '{me}', 'like')",
    "turn a view into a like": "UPDATE reactions SET reaction_type = 'like'",
    "write as somebody else": "INSERT INTO messages (connection_id, sender_id, content)"
    " VALUES ('{chat}', '{friend}', 'x')",
    "write into others' chat": "INSERT INTO messages (connection_id, sender_id, content)"
    " VALUES ('{their_chat}', '{me}', 'x')",
    "break the ice": "INSERT INTO messages (connection_id, sender_id, content, message_type)"
    " VALUES ('{chat}', '{me}', 'x', 'icebreaker')",
    "send an unchecked address": "INSERT INTO messages (connection_id, sender_id, content, message_type)"
    " VALUES ('{chat}', '{me}', 'javascript:x', 'image')",
    "send nothing": "INSERT INTO messages (connection_id, sender_id, content) VALUES ('{chat}', '{me}', ' ')",
    "send a book": "INSERT INTO messages (connection_id, sender_id, content)"
    " VALUES ('{chat}', '{me}', repeat('x', 4001))",
    "forget having read": "UPDATE messages SET read_at = NULL WHERE sender_id = '{friend}'",
    "add a setting": "INSERT INTO system_settings (key, value, updated_by) VALUES ('x', '1', '{me}')",
    "make a table": "CREATE TABLE public.mine (id integer)",
    "use a trigger's function": "CREATE TEMPORARY TABLE mine (id uuid, profile_id uuid);"
    " CREATE TRIGGER mine AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION public.auto_create_match_job()",
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_end_user_may_not(world: TwoPairsWorld, what: str) -> None:
    ours, theirs = world.ours, world.theirs
    statement = REFUSED[what].format(
        me=ours.one, friend=ours.other, stranger=theirs.one, face=ours.face, match=ours.match,
        their_match=theirs.match, chat=ours.chat, their_chat=theirs.chat,
    )  # fmt: skip
    with pytest.raises(InsufficientPrivilege):
        changed(world, statement)


def test_only_an_admin_reads_who_searched_faces(world: TwoPairsWorld) -> None:
    admin = f"UPDATE profiles SET role = 'admin' WHERE id = '{world.ours.one}'"
    with world.acting(before=admin) as connection:
        assert keys(connection, "face_searches") == world.all("face_searches")


INSERT_REACTION = "INSERT INTO reactions (match_id, user_profile_id, reaction_type) VALUES (%s, %s, %s)"
INSERT_MESSAGE = "INSERT INTO messages (connection_id, sender_id, content) VALUES (%s, %s, 'Hello')"


def test_own_matches_are_liked_and_all_viewed(world: TwoPairsWorld) -> None:
    assert changed(world, INSERT_REACTION, world.ours.match, world.ours.one, "like") == 1
    assert changed(world, INSERT_REACTION, world.theirs.match, world.ours.one, "viewed") == 1


def test_messages_are_written_while_the_connection_is_active(world: TwoPairsWorld) -> None:
    assert changed(world, INSERT_MESSAGE, world.ours.chat, world.ours.one) == 1
    for status in ("blocked", "archived"):
        closed = f"UPDATE mutual_connections SET status = '{status}' WHERE id = '{world.ours.chat}'"
        with (
            world.acting(before=closed) as connection,
            pytest.raises(InsufficientPrivilege, match="row-level security"),
        ):
            connection.execute(INSERT_MESSAGE, (world.ours.chat, world.ours.one))


def test_only_the_receiver_marks_a_message_read(world: TwoPairsWorld) -> None:
    read = "UPDATE messages SET read_at = now() WHERE sender_id = %s"
    assert changed(world, read, world.ours.other) == 1
    assert changed(world, read, world.ours.one) == 0
    assert changed(world, read, world.theirs.other) == 0
    assert changed(world, read, world.ours.one, profile=world.ours.other) == 1


def test_own_notifications_are_marked_read(world: TwoPairsWorld) -> None:
    assert changed(world, "UPDATE notifications SET read_at = now()") == 1
    assert changed(world, "UPDATE notifications SET read_at = NULL") == 1
    assert (
        changed(world, "UPDATE notifications SET read_at = now() WHERE user_id = %s", world.ours.other) == 0
    )


def test_only_an_admin_changes_settings_and_in_their_own_name(world: TwoPairsWorld) -> None:
    change = "UPDATE system_settings SET value = '0.6', updated_by = %s WHERE key = 'match_threshold'"
    added = "INSERT INTO system_settings (key, value, updated_by) VALUES ('new', '1', %s)"
    admin = f"UPDATE profiles SET role = 'admin' WHERE id = '{world.ours.one}'"
    assert changed(world, change, world.ours.one) == 0
    assert changed(world, change, world.ours.one, before=admin) == 1
    assert changed(world, added, world.ours.one, before=admin) == 1
    assert changed(world, "DELETE FROM system_settings WHERE key = 'match_threshold'", before=admin) == 1
    for statement, whose in ((change, world.ours.other), (change, None), (added, world.ours.other)):
        with pytest.raises(InsufficientPrivilege, match="row-level security"):
            changed(world, statement, whose, before=admin)


@pytest.mark.parametrize("claims", ["", "{}", '{"sub": null}'])
@pytest.mark.parametrize(
    "table", [table for table, line in TABLES.items() if line.rows == "own" and "select" in line.user]
)
def test_a_token_without_a_user_reads_no_rows(world: TwoPairsWorld, table: str, claims: str) -> None:
    with world.acting() as connection:
        connection.execute("SELECT set_config('request.jwt.claims', %s, true)", [claims])
        assert keys(connection, table) == set()


@pytest.mark.parametrize(
    "table", ["profiles", "faces", "celebrity_matches", "babies", "messages", "match_jobs"]
)
def test_policies_ask_once_per_statement_and_find_rows_by_index(world: TwoPairsWorld, table: str) -> None:
    with world.acting() as connection:
        connection.execute("SET LOCAL enable_seqscan = off")
        plan = "\n".join(line for (line,) in connection.execute(f"EXPLAIN SELECT FROM {table}").fetchall())
    assert "InitPlan" in plan
    assert "SubPlan" not in plan
    assert re.search(r"Index Cond: .*(InitPlan|\$0)", plan), plan


# The application ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def application(world: TwoPairsWorld) -> Iterator[psycopg.Connection]:
    """The application's login."""
    with psycopg.connect(application_dsn(world.dsn), autocommit=True) as connection:
        connection.execute("SELECT set_config('search_path', 'public, extensions', false)")
        yield connection


@pytest.fixture
def service(application: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """The application's login, in a transaction that is rolled back."""
    with application.transaction(force_rollback=True):
        yield application


QUERIES = load_queries(Path(db.__path__[0], "sql"))
STAGES = {query for query in QUERIES.values() if "CREATE TEMPORARY TABLE" in query}


def test_the_application_may_run_every_query(application: psycopg.Connection) -> None:
    """Planned and not run: privileges are checked before the first row."""
    for name in QUERIES:
        with about(f"the query {name}"), application.transaction(force_rollback=True):
            _plan(application, name)


def _plan(service: psycopg.Connection, name: str) -> None:
    text = QUERIES[name]
    if "staged_" in text:
        for stage in STAGES:
            service.execute(stage)
    if text in STAGES:
        return
    if re.search(r"^ANALYZE", text, re.MULTILINE):
        warnings: list[str | None] = []

        def note(notice: psycopg.errors.Diagnostic) -> None:
            warnings.append(notice.message_primary)

        service.add_notice_handler(note)
        service.execute(text)
        service.remove_notice_handler(note)
        assert bool(warnings) == (name in OWNERS_QUERIES)
        return
    # A lock has no plan.
    planned = text if re.search(r"^LOCK", text, re.MULTILINE) else f"EXPLAIN (GENERIC_PLAN) {text}"
    if name in OWNERS_QUERIES:
        with pytest.raises(InsufficientPrivilege):
            service.execute(planned)
        return
    service.execute(planned)


def test_the_application_reaches_the_rows_of_all(world: TwoPairsWorld, service: psycopg.Connection) -> None:
    for table in world.ours.rows:
        assert keys(service, table) == world.all(table)


def test_a_face_the_application_stores_queues_its_job(
    world: TwoPairsWorld, service: psycopg.Connection
) -> None:
    face = add_face(service, world.ours.one)
    assert service.execute("SELECT count(*) FROM match_jobs WHERE face_id = %s", [face]).fetchone() == (1,)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE public.mine (id integer)",
        "CREATE FUNCTION public.mine() RETURNS integer LANGUAGE sql RETURN 1",
        "CREATE SCHEMA mine",
        "ALTER TABLE faces ADD COLUMN mine integer",
        "ALTER TABLE faces DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE faces DISABLE TRIGGER ALL",
        "CREATE POLICY mine ON api_keys USING (true)",
        "CREATE INDEX mine ON faces (age)",
        "DROP TABLE faces",
        "TRUNCATE faces CASCADE",
        "ALTER TABLE profiles OWNER TO semblance_service",
        "CREATE ROLE mine",
        "SET ROLE postgres",
        "UPDATE profiles SET role = 'admin'",
        "INSERT INTO profiles (id, profile_type, role) VALUES (gen_random_uuid(), 'user', 'admin')",
        "DELETE FROM profiles",
        "UPDATE api_keys SET hash = sha256('')",
        "INSERT INTO events (type, payload) VALUES ('matches', '{}')",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY faces TO PROGRAM 'cat'",
    ],
)
def test_the_application_may_not(service: psycopg.Connection, statement: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        service.execute(statement)


# Logins and roles --------------------------------------------------------------------------------------


def test_logins_with_too_many_rights_are_recognized(world: TwoPairsWorld) -> None:
    application, owner = find_login(application_dsn(world.dsn)), find_login(world.dsn)
    assert application.excess is None
    assert application.is_service
    assert owner.excess == "is a superuser"
    logins = {
        "keeper": ("LOGIN IN ROLE owning", "owns the tables"),
        "sneak": ("LOGIN BYPASSRLS", "bypasses row-level security"),
        "nobody": ("LOGIN", None),
    }
    with psycopg.connect(world.dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE owning")
        connection.execute("ALTER TABLE profiles OWNER TO owning")
        try:
            for name, (options, excess) in logins.items():
                connection.execute(f"CREATE ROLE {name} {options}")
                login = find_login(world.dsn.replace("//postgres@", f"//{name}@"))
                assert (login.excess, login.is_service) == (excess, False)
        finally:
            connection.execute("ALTER TABLE profiles OWNER TO postgres")
            connection.execute("DROP ROLE IF EXISTS keeper, sneak, nobody, owning")
