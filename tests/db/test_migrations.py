from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

import db
from db.logins import application_dsn
from db.migrate import (
    MIGRATIONS,
    check_server,
    check_versions,
    current,
    downgrade,
    load_migrations,
    locked,
    may_migrate,
    require_newest,
    upgrade,
)
from ops.stack.embedded import EmbeddedPostgres
from semblance.errors import ConfigurationError, DatabaseError
from tests.support.catalog import snapshot
from tests.support.postgres import on_database
from tests.support.supabase import SUPABASE, run
from tests.support.waiting import PATIENCE_S

SCHEMA = Path(db.__path__[0], "schema.sql").read_text(encoding="utf-8")
HEAD = MIGRATIONS[-1].revision

ALEMBIC = """
    DROP TABLE alembic_version;
    CREATE TABLE alembic_version (
        version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
    );
    INSERT INTO alembic_version VALUES ('0021');
    ALTER TABLE alembic_version ENABLE ROW LEVEL SECURITY;
"""
"""The table of versions as Alembic made it."""

CONCURRENT = {
    "0001_table.up.sql": "CREATE TABLE pictures (id int, score real);",
    "0002_index.up.sql": "-- Large.\nCREATE INDEX CONCURRENTLY another ON public.pictures (score);",
}

ACCOUNT = "7f0f7a5e-6d4f-4c35-9d1c-0c6f4b8d1a11"


def test_migrations_and_schema_file_make_the_same_database(make_database: Callable[[str], str]) -> None:
    """Both are made here, because what they make depends on the server's roles."""
    by_migrations, by_file = make_database("template1"), make_database("template1")
    upgrade(by_migrations)
    run(by_file, SCHEMA)
    migrated, written = snapshot(by_migrations), snapshot(by_file)
    assert len(migrated["tables"]) > 14
    for kind, rows in migrated.items():
        assert rows == written[kind], kind


def test_down_to_nothing_and_up_again(empty_dsn: str) -> None:
    upgrade(empty_dsn)
    first = snapshot(empty_dsn)
    assert current(empty_dsn) == HEAD
    downgrade(empty_dsn, None)
    nothing = snapshot(empty_dsn)
    assert current(empty_dsn) is None
    left = {kind for kind, rows in nothing.items() if rows}
    assert left == {"schemas", "extensions"}
    assert [row[0] for row in nothing["schemas"]] == ["public"]
    upgrade(empty_dsn)
    assert snapshot(empty_dsn) == first


@pytest.mark.parametrize("revision", ["0001", "0004"])
def test_each_revision_undoes_the_next(empty_dsn: str, revision: str) -> None:
    upgrade(empty_dsn, revision)
    before = snapshot(empty_dsn)
    upgrade(empty_dsn)
    downgrade(empty_dsn, revision)
    assert snapshot(empty_dsn) == before
    assert current(empty_dsn) == revision


def test_vectors_of_bios_are_kept_in_both_directions(empty_dsn: str) -> None:
    upgrade(empty_dsn, "0040")
    run(
        empty_dsn,
        f"""
        INSERT INTO profiles (id, profile_type, bio) VALUES ('{ACCOUNT}', 'user', 'I dance.');
        INSERT INTO bio_vectors (profile_id, model, embedding)
        SELECT '{ACCOUNT}', model, array_fill(1, ARRAY[384])::vector FROM unnest(ARRAY['a', 'b']) AS model;
        UPDATE system_settings SET value = 'true' WHERE key = 'profile_search';
        """,
    )
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        old = connection.execute("SELECT * FROM bio_vectors ORDER BY model").fetchall()
        assert len(old) == 2
        upgrade(empty_dsn)
        kept = connection.execute(
            """
            SELECT source_id, made.model, embedding, created_at
            FROM text_embeddings AS made JOIN embeddable_texts USING (source, source_id)
            WHERE content_hash = sha256(convert_to(content, 'UTF8')) AND chunk = 0
            ORDER BY model
            """
        ).fetchall()
        assert kept == old
        # The old version's search and its trigger work again.
        downgrade(empty_dsn, "0040")
        assert connection.execute("SELECT * FROM bio_vectors ORDER BY model").fetchall() == old
        connection.execute("UPDATE profiles SET bio = 'I sing.'")
        assert connection.execute("SELECT count(*) FROM bio_vectors").fetchone() == (0,)


def test_upgrading_again_changes_nothing_an_admin_has_set(dsn: str) -> None:
    run(dsn, "UPDATE system_settings SET value = '0.7' WHERE key = 'match_threshold'")
    before = snapshot(dsn)
    upgrade(dsn)
    assert snapshot(dsn) == before


def test_two_processes_may_upgrade_at_once(empty_dsn: str) -> None:
    script = f"from db.migrate import upgrade; upgrade({empty_dsn!r})"
    processes = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", script], stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, errors
    assert current(empty_dsn) == HEAD


def test_a_migration_may_build_an_index_concurrently_under_the_lock(dsn: str) -> None:
    with locked(dsn), psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET statement_timeout = '120s'")
        connection.execute("CREATE INDEX CONCURRENTLY another ON faces (blur_score)")


def test_every_revision_is_numbered_and_can_be_undone() -> None:
    assert [each.revision for each in MIGRATIONS] == [f"{n:04}" for n in range(1, len(MIGRATIONS) + 1)]
    files = {path for each in MIGRATIONS for path in (each.up, each.down)}
    assert files == {*MIGRATIONS[0].up.parent.iterdir()}


def test_a_database_that_alembic_migrated_goes_on(empty_dsn: str) -> None:
    upgrade(empty_dsn, "0021")
    run(empty_dsn, ALEMBIC)
    assert current(empty_dsn) == "0021"
    upgrade(empty_dsn)
    assert current(empty_dsn) == HEAD
    with psycopg.connect(empty_dsn) as connection:
        records = connection.execute("SELECT action, before, after FROM audit_log").fetchall()
    assert records == [("schema.migrate", {"revision": "0021"}, {"revision": HEAD})]


def test_an_index_is_built_concurrently_in_a_separate_migration(empty_dsn: str, tmp_path: Path) -> None:
    for name, sql in CONCURRENT.items():
        (tmp_path / name).write_text(sql, encoding="utf-8")
    upgrade(empty_dsn, migrations=load_migrations(tmp_path))
    assert current(empty_dsn) == "0002"
    with psycopg.connect(empty_dsn) as connection:
        valid = connection.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'another'::regclass"
        ).fetchone()
    assert valid == (True,)


def test_an_index_whose_migration_was_killed_is_built_again(empty_dsn: str, tmp_path: Path) -> None:
    files = {
        "0001_table.up.sql": "CREATE TABLE public.t AS SELECT 1 AS n UNION ALL SELECT 1;",
        "0002_index.up.sql": "CREATE INDEX CONCURRENTLY IF NOT EXISTS t_n ON public.t (n);",
    }
    for name, sql in files.items():
        (tmp_path / name).write_text(sql, encoding="utf-8")
    upgrade(empty_dsn, "0001", migrations=load_migrations(tmp_path))
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        # Ends between the two transactions of the command, as one that is killed.
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("CREATE UNIQUE INDEX CONCURRENTLY t_n ON public.t (n)")
        upgrade(empty_dsn, migrations=load_migrations(tmp_path))
        index = connection.execute(
            "SELECT indisvalid, indisunique FROM pg_index WHERE indexrelid = 't_n'::regclass"
        ).fetchone()
    assert index == (True, False)


def test_a_migration_that_fails_leaves_nothing(empty_dsn: str, tmp_path: Path) -> None:
    (tmp_path / "0001_good.up.sql").write_text("CREATE TABLE good ();", encoding="utf-8")
    (tmp_path / "0002_bad.up.sql").write_text("CREATE TABLE bad (); SELECT 1 / 0;", encoding="utf-8")
    with pytest.raises(DatabaseError, match="division by zero"):
        upgrade(empty_dsn, migrations=load_migrations(tmp_path))
    assert current(empty_dsn) == "0001"
    with psycopg.connect(empty_dsn) as connection:
        made = connection.execute("SELECT to_regclass('good') IS NULL, to_regclass('bad') IS NULL").fetchone()
    assert made == (False, True)


def test_on_supabase_what_is_there_stays_and_signup_makes_a_profile(empty_dsn: str) -> None:
    run(empty_dsn, SUPABASE)
    upgrade(empty_dsn)
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO auth.users VALUES (%s, 'ada@uni.edu', %s)",
            [ACCOUNT, '{"full_name": "Ada", "gender": "robot"}'],
        )
        made = connection.execute(
            "SELECT id::text, profile_type, email, name, gender, role FROM profiles"
        ).fetchall()
        assert made == [(ACCOUNT, "user", "ada@uni.edu", "Ada", None, "user")]
        # An address that another profile has must not prevent the account.
        connection.execute("INSERT INTO auth.users VALUES (gen_random_uuid(), 'ada@uni.edu', NULL)")
        assert connection.execute("SELECT count(*) FROM auth.users").fetchone() == (2,)
    downgrade(empty_dsn, None)
    with psycopg.connect(empty_dsn) as connection:
        connection.execute("INSERT INTO auth.users VALUES (gen_random_uuid(), 'b@uni.edu', NULL)")
        assert connection.execute("SELECT auth.uid()").fetchone() == (None,)
        assert connection.execute("SELECT to_regclass('profiles')").fetchone() == (None,)


def test_the_schema_file_is_also_right_on_supabase(make_database: Callable[[str], str]) -> None:
    migrated, written = make_database("template1"), make_database("template1")
    run(migrated, SUPABASE)
    run(written, SUPABASE)
    upgrade(migrated)
    run(written, SCHEMA)
    assert snapshot(migrated) == snapshot(written)


def test_a_newer_schema_is_not_touched(dsn: str) -> None:
    run(dsn, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigurationError, match="another version of Semblance"):
        upgrade(dsn)


def test_a_user_without_rights_gets_an_error_that_says_so(empty_dsn: str) -> None:
    run(empty_dsn, "DROP ROLE IF EXISTS weak; CREATE ROLE weak LOGIN")
    try:
        with pytest.raises(ConfigurationError, match="may not change the schema"):
            upgrade(empty_dsn.replace("postgres@", "weak@"))
    finally:
        run(empty_dsn, "DROP ROLE weak")


def test_the_applications_login_learns_whether_the_owner_has_migrated(empty_dsn: str) -> None:
    service = application_dsn(empty_dsn)
    with pytest.raises(ConfigurationError, match=rf"missing or old.* {HEAD}\. Run `semblance migrate`"):
        require_newest(service)
    before = MIGRATIONS[-2].revision
    upgrade(empty_dsn, before)
    assert may_migrate(empty_dsn) and not may_migrate(service)
    with pytest.raises(ConfigurationError, match=f"revision {before}.* {HEAD}"):
        require_newest(service)
    upgrade(empty_dsn)
    require_newest(service)
    run(empty_dsn, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigurationError, match="another version of Semblance"):
        require_newest(service)


def test_roles_go_with_the_last_database_unless_somebody_logs_in_through_them() -> None:
    folder = Path(tempfile.mkdtemp(prefix="semblance-tests-"))
    server = EmbeddedPostgres(folder / "postgres")
    try:
        one = server.start()
        roles = ("semblance_service", "authenticated", "anon")

        def present() -> set[str]:
            with psycopg.connect(one) as connection:
                rows = connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", [[*roles]])
                return {name for (name,) in rows.fetchall()}

        # Also one that was there before.
        run(one, "CREATE DATABASE other")
        run(one, "DROP ROLE semblance_app, semblance_service; CREATE ROLE anon")
        other = on_database(one, "other")
        upgrade(one)
        upgrade(other)
        downgrade(one, None)
        assert present() == set(roles)
        downgrade(other, None)
        assert present() == {"anon"}
        upgrade(one)
        run(one, "CREATE ROLE app LOGIN IN ROLE semblance_service")
        downgrade(one, None)
        assert present() == {"anon", "semblance_service"}
    finally:
        server.stop()
        shutil.rmtree(folder)


def test_the_application_may_work_where_the_public_may_do_nothing(empty_dsn: str) -> None:
    run(empty_dsn, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute(
            SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(Identifier(connection.info.dbname))
        )
    upgrade(empty_dsn)
    with psycopg.connect(application_dsn(empty_dsn)) as connection:
        connection.execute("CREATE TEMPORARY TABLE staged (LIKE celebrities)")
        connection.execute("SELECT '[1,2]'::vector FROM celebrities")


def test_no_server_is_a_database_error(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError):
        upgrade(f"postgresql://postgres@/semblance?host={tmp_path}")


def test_an_unknown_database_is_a_database_error(postgres: str) -> None:
    with pytest.raises(DatabaseError, match="does not exist"):
        current(on_database(postgres, "nowhere"))


def test_an_invalid_dsn_is_not_quoted() -> None:
    with pytest.raises(ConfigurationError) as caught:
        current("postgres//semblance:hunter2@host/name")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_embedded_server_is_accepted(postgres: str) -> None:
    check_server(postgres)


@pytest.mark.parametrize(
    ("server", "installed", "available"),
    [
        (150000, "0.8.0", "0.8.0"),
        (150014, None, "0.8.0"),
        (160002, None, "0.8.5"),
        (180004, "0.8.5", None),
        (180004, "0.10.1", "0.10.1"),
        (190000, None, "1.0.0"),
    ],
)
def test_versions_that_are_enough(server: int, installed: str | None, available: str | None) -> None:
    check_versions(server, installed, available)


@pytest.mark.parametrize(
    ("server", "installed", "available", "parts"),
    [
        (140011, "0.8.0", "0.8.0", ("PostgreSQL 14.11", "15 or newer", "Upgrade the server")),
        (90624, None, None, ("PostgreSQL 9.", "15 or newer", "Upgrade the server")),
        (150014, None, None, ("no pgvector", "0.8 or newer", "Install it")),
        (160002, None, "0.6.2", ("pgvector 0.6.2", "0.8 or newer", "Install that")),
        (160002, "0.6.2", "0.6.2", ("pgvector 0.6.2", "0.8 or newer", "Install a newer one")),
        (160002, "0.7.4", "0.8.0", ("pgvector 0.7.4", "0.8 or newer", "ALTER EXTENSION vector UPDATE")),
    ],
)
def test_versions_that_are_refused(
    server: int, installed: str | None, available: str | None, parts: tuple[str, ...]
) -> None:
    """The message names what was found, what is needed, and the fix."""
    with pytest.raises(ConfigurationError) as caught:
        check_versions(server, installed, available)
    for part in parts:
        assert part in str(caught.value)
