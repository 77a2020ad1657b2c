"""A rehearsal of taking over the old app's database: while it is used, and back again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest

from db.adoption import run as adoption
from db.adoption.catalog import Catalog, Grant, read_catalog, set_search_path
from db.adoption.rules import UNKNOWN_PACK
from db.adoption.run import carry_out, look
from db.adoption.steps import Step
from db.adoption.target import read_target
from db.logins import application_dsn
from db.migrate import MIGRATIONS, current, head, upgrade
from db.pool import Database
from db.queries import queries
from db.spare_embeddings import SpareEmbeddings
from semblance.errors import ConfigurationError, ConflictError, DatabaseError
from tests.support.catalog import snapshot
from tests.support.old_app import VECTOR, KilledError, OldApp, early, number
from tests.support.postgres import on_database
from tests.support.rows import DIGEST, OTHER_DIGEST
from tests.support.supabase import SUPABASE, run

DEFAULT_RIGHTS = """
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO service_role;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO service_role;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO service_role;
"""
PAUSE_SECONDS = 0.05
"""Between two rounds of the old app: about as long as one takes."""


def value(dsn: str, query: str, *parameters: object) -> object:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query, parameters).fetchone()
    assert row is not None
    return row[0]


def catalog(dsn: str) -> Catalog:
    with psycopg.connect(dsn) as connection:
        return read_catalog(connection)


def described(found: Catalog) -> dict[str, object]:
    """The whole schema, without what differs between databases: the order of creation."""
    return {
        "relations": {name: replace(each, number=0) for name, each in found.relations.items()},
        "columns": {table: dict(sorted(columns.items())) for table, columns in found.columns.items()},
        "constraints": {
            table: {name: replace(each, columns=sorted(each.columns)) for name, each in constraints.items()}
            for table, constraints in found.constraints.items()
        },
        "indexes": found.indexes,
        "triggers": found.triggers,
        "functions": {name: replace(each, number=0) for name, each in found.functions.items()},
        "policies": found.policies,
        "grants": {key: effective(grants) for key, grants in found.grants.items()},
    }


def effective(grants: frozenset[Grant]) -> frozenset[Grant]:
    """Privileges without those that PUBLIC has: on Supabase a new function is also granted by name."""
    everybody = {each.privilege for each in grants if each.grantee == "PUBLIC"}
    return frozenset(each for each in grants if each.grantee == "PUBLIC" or each.privilege not in everybody)


def assert_same_schema(dsn: str, fresh: str) -> None:
    adopted, expected = described(catalog(dsn)), described(catalog(fresh))
    for kind, wanted in expected.items():
        assert adopted[kind] == wanted, kind
    # Read in another way, without the order of columns and the settings.
    one, other = snapshot(dsn), snapshot(fresh)
    for kind in set(other) - {"columns", "settings", "schemas", "functions"}:
        assert one[kind] == other[kind], kind


def assert_service_may_work(dsn: str, fresh: str) -> None:
    """The application already sees what it will see in the end, with the same privileges."""
    adopted, expected = catalog(dsn), catalog(fresh)
    for key, wanted in expected.grants.items():
        service = {each for each in wanted if each.grantee == "semblance_service"}
        assert service <= adopted.grants.get(key, frozenset()), key
    for table, policies in expected.policies.items():
        for policy in policies.values():
            assert not policy.is_for_service or policy in adopted.policies[table].values()


@contextmanager
def in_use(dsn: str, made: int = 0) -> Iterator[OldApp]:
    """The old app at work until the end of the block, which raises its failures."""
    app, failures, stop = OldApp(dsn, made), list[Exception](), threading.Event()

    def work() -> None:
        try:
            # Without a pause it would take most of the machine, and every step longer.
            while not stop.wait(PAUSE_SECONDS):
                app.everything()
        except Exception as exc:
            failures.append(exc)

    app.everything()
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield app
    finally:
        stop.set()
        thread.join()
        app.close()
    assert not failures, failures


def test_an_old_app_in_use_is_adopted_and_finished(
    old_app_dsn: str, make_database: Callable[[str], str], postgres: str
) -> None:
    fresh = make_database("template1")
    run(fresh, SUPABASE + DEFAULT_RIGHTS + "CREATE PUBLICATION supabase_realtime")
    upgrade(fresh)
    dsn = old_app_dsn
    before = _counts(dsn)

    with in_use(dsn) as app:
        carry_out(dsn, "expand")
    assert current(dsn) == head()
    assert value(dsn, PUBLISHED) == HEARD
    assert_service_may_work(dsn, fresh)
    _check_rows(dsn, before, app)

    # The old app is as good as before, and what it writes is in the new form.
    with in_use(dsn, made=100_000) as later:
        upgrade(dsn)
    _check_rows(dsn, before, app)
    assert value(dsn, "SELECT count(*) FROM faces WHERE pack_digest IS DISTINCT FROM %s"
                 " AND embedding IS NOT NULL", UNKNOWN_PACK) == 0  # fmt: skip
    assert value(dsn, "SELECT count(*) FROM profiles WHERE gender NOT IN ('male', 'female', 'other')") == 0

    report = look(dsn, "finish")
    assert not report.plan.obstacles
    assert any("the table jobs, with" in step.title for step in report.plan.steps)
    carry_out(dsn, "finish")
    assert_same_schema(dsn, fresh)
    _check_rows(dsn, before, app)
    for message in later.messages:
        assert value(dsn, "SELECT count(*) FROM messages WHERE id = %s", message) == 1
    assert value(dsn, "SELECT sum(count) FROM match_counts") == value(dsn, "SELECT count(*) FROM matches")
    with pytest.raises(ConflictError, match="nothing to finish"):
        carry_out(dsn, "finish")
    upgrade(dsn)


def _counts(dsn: str) -> dict[str, object]:
    return {
        table: value(dsn, f"SELECT count(*) FROM {table}")
        for table in ("profiles", "faces", "messages", "notifications", "babies", "celebrities", "match_jobs")
    }


def _check_rows(dsn: str, before: dict[str, object], app: OldApp) -> None:
    """Nothing of the old app's data is lost, and all of it is valid."""
    with psycopg.connect(dsn) as connection:

        def one(query: str, *parameters: object) -> object:
            row = connection.execute(query, parameters).fetchone()
            return row and row[0]

        for table, rows in before.items():
            number_now = one(f"SELECT count(*) FROM {table}")
            assert isinstance(number_now, int)
            assert isinstance(rows, int)
            assert number_now >= rows, table
        assert one("SELECT count(*) FROM matches WHERE face_a_id >= face_b_id") == 0
        assert one("SELECT count(*) FROM matches WHERE similarity_score NOT BETWEEN 0 AND 1") == 0
        assert one("SELECT count(*) FROM faces WHERE (embedding IS NULL) <> (pack_digest IS NULL)") == 0
        assert one("SELECT count(*) FROM celebrities WHERE (embedding IS NULL) <> (pack_digest IS NULL)") == 0
        # A score above 1 was a distance.
        assert one("SELECT similarity_score FROM matches WHERE id = %s", number("match", 1007)) == 0
        # 2,000 pairs were matched, 250 of them twice; and 40 with celebrities, who are in the gallery now.
        assert one("SELECT count(*) FROM matches WHERE created_at < %s", "2100-01-01") >= 2040  # type: ignore[operator]
        assert one("SELECT count(*) FROM celebrities WHERE name LIKE 'User %%'") == 40
        assert (
            one(
                "SELECT similarity_score FROM celebrity_matches WHERE face_id = %s AND celebrity_id = %s",
                number("face", 1),
                number("face", 3001),
            )
            == 0.7
        )
        # What referred to a duplicate refers to the match that was kept.
        found = one("SELECT match_id FROM babies WHERE id = %s", number("baby", 30))
        assert found in {number("match", 30), number("match", 10030)}
        assert one("SELECT count(*) FROM notifications WHERE related_type = 'match' AND NOT EXISTS ("
                   "SELECT FROM matches WHERE matches.id = related_id)") == 0  # fmt: skip
        liked = one("SELECT count(*) FROM reactions WHERE user_profile_id = %s AND reaction_type = 'like'",
                    number("user", 1))  # fmt: skip
        # Matches 1 to 3, of which 2 and all doubles were liked, and two that were "Liked".
        assert liked == 3 + 2
        # Two chats of one pair become one, blocked as one of the two was, with the messages of both.
        assert one("SELECT status FROM mutual_connections WHERE id = %s", number("chat", 1)) == "blocked"
        assert one("SELECT status FROM mutual_connections WHERE id = %s", number("chat", 2)) == "active"
        assert one("SELECT count(*) FROM messages AS m JOIN mutual_connections AS c ON c.id = connection_id"
                   ) == one("SELECT count(*) FROM messages")  # fmt: skip
        for user, match in app.likes:
            kept = one(
                "SELECT count(*) FROM reactions JOIN matches ON matches.id = match_id"
                " WHERE user_profile_id = %s AND reaction_type = 'like'"
                " AND match_id IN ("
                "SELECT %s UNION SELECT kept FROM semblance_adoption.merged WHERE lost = %s)",
                user,
                match,
                match,
            )
            assert kept == 1
        for message in app.messages:
            assert one("SELECT count(*) FROM messages WHERE id = %s", message) == 1
        for face in app.faces:
            assert one("SELECT pack_digest FROM faces WHERE id = %s", face) == UNKNOWN_PACK
        # A removed reaction has an equal on the match that was kept.
        lost = one(
            "SELECT count(*) FROM semblance_adoption.kept_rows"
            " JOIN semblance_adoption.merged ON lost::text = content ->> 'match_id'"
            " WHERE table_name = 'reactions' AND NOT EXISTS ("
            "SELECT FROM reactions AS r WHERE r.match_id = kept"
            " AND r.user_profile_id::text = content ->> 'user_profile_id'"
            " AND r.reaction_type = content ->> 'reaction_type')"
        )
        assert lost == 0
        # What changed is kept as it was.
        assert one("SELECT value FROM semblance_adoption.kept_values WHERE row_id = %s"
                   " AND column_name = 'blur_score'", str(number("face", 100))) == 352.5  # fmt: skip
        assert one("SELECT blur_score FROM faces WHERE id = %s", number("face", 100)) is None
        assert one("SELECT gender FROM profiles WHERE id = %s", number("user", 12)) == "other"
        assert one("SELECT profile_id FROM generation_logs WHERE duration_ms = 100") == number("user", 1)
        assert one("SELECT count(*) FROM generation_logs WHERE status NOT IN ('completed', 'failed')") == 0


def test_a_dry_run_changes_nothing(old_app_dsn: str) -> None:
    before = described(catalog(old_app_dsn))
    report = look(old_app_dsn, "expand")
    assert described(catalog(old_app_dsn)) == before
    tables = {table.name: table for table in report.tables}
    assert (tables["faces"].rows, tables["faces"].embedded) == (3040, 1520)
    assert "pack_digest" in tables["faces"].missing
    assert tables["faces"].extra == ("qdrant_point_id",)
    assert [line.partition(";")[0] for line in report.cron] == ["SELECT cron.unschedule(7)"]
    assert report.plan.seconds > 0
    assert report.pack_digest == UNKNOWN_PACK


def test_migrate_points_to_adoption(old_app_dsn: str) -> None:
    with pytest.raises(ConfigurationError, match="migrate --adopt"):
        upgrade(old_app_dsn)
    with pytest.raises(ConflictError, match="not complete"):
        carry_out(old_app_dsn, "finish")


def test_there_is_nothing_to_adopt_elsewhere(dsn: str, empty_dsn: str) -> None:
    for each in (dsn, empty_dsn):
        with pytest.raises(ConflictError, match="nothing to adopt"):
            look(each, "expand")
        with pytest.raises(ConflictError, match="nothing to finish"):
            look(each, "finish")


SMALL = """
    DROP INDEX faces_embedding_idx;
    DELETE FROM messages WHERE created_at < now() - interval '3 minutes';
    DELETE FROM celebrity_matches; DELETE FROM match_jobs; DELETE FROM notifications;
    DELETE FROM reactions WHERE match_id NOT IN (SELECT match_id FROM mutual_connections);
    DELETE FROM babies WHERE id NOT IN (SELECT baby_id FROM mutual_connections WHERE baby_id IS NOT NULL);
    DELETE FROM matches
    WHERE id NOT IN (SELECT match_id FROM mutual_connections UNION SELECT match_id FROM babies)
        AND face_a_id NOT IN (SELECT face_b_id FROM matches LIMIT 20);
    UPDATE profiles SET default_face_id = NULL;
    DELETE FROM faces WHERE id NOT IN (SELECT face_a_id FROM matches UNION SELECT face_b_id FROM matches);
    CREATE INDEX faces_embedding_idx ON faces
        USING hnsw (embedding extensions.vector_cosine_ops) WITH (m = 16, ef_construction = 64);
"""


@pytest.fixture(scope="module")
def small_name(postgres: str, old_app_template: str) -> Iterator[str]:
    """Name of an old app's database with a few rows of each kind."""
    with made_database(postgres, "old_app_small", old_app_template) as made:
        run(made, SMALL)
        yield "old_app_small"


@pytest.fixture
def small_dsn(small_name: str, make_database: Callable[[str], str], known_targets: None) -> str:
    return make_database(small_name)


@pytest.fixture(scope="module")
def adopted_small_dsn(postgres: str, small_name: str) -> Iterator[str]:
    """The same, adopted, to look at."""
    with made_database(postgres, "adopted_small", small_name) as made:
        carry_out(made, "expand", DIGEST)
        yield made


@contextmanager
def made_database(postgres: str, name: str, template: str) -> Iterator[str]:
    with psycopg.connect(on_database(postgres, "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        yield on_database(postgres, name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def run_until_done(dsn: str, phase: adoption.Phase, first: int) -> int:
    """Kill each run some steps later than the one before; returns how many it took."""
    runs = 0
    while True:
        runs += 1
        left = first + 3 * runs

        def count_down(_: int, step: Step) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KilledError(step.title)

        try:
            carry_out(dsn, phase, on_step=count_down)
        except KilledError:
            continue
        return runs


def test_a_run_that_is_killed_is_completed_by_the_next(
    small_dsn: str, small_name: str, make_database: Callable[[str], str]
) -> None:
    undisturbed = make_database(small_name)
    phases: list[tuple[adoption.Phase, int]] = [("expand", 12), ("finish", 6)]
    for phase, first in phases:
        carry_out(undisturbed, phase)
        assert run_until_done(small_dsn, phase, first) > 3
        assert_same_schema(small_dsn, undisturbed)
        for table in catalog(undisturbed).tables:
            if table not in {"events", "celebrity_changes", "match_jobs", "rematch_runs"}:
                query = f"SELECT count(*) FROM {table}"
                assert value(small_dsn, query) == value(undisturbed, query), table


def test_what_a_killed_run_leaves_behind_is_cleared(small_dsn: str) -> None:
    with psycopg.connect(small_dsn, autocommit=True) as connection:
        connection.execute("CREATE INDEX idx_faces_age ON faces (age) WHERE age IS NOT NULL")
        connection.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_faces_age'::regclass"
        )
    carry_out(small_dsn, "expand")
    query = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'idx_faces_age'::regclass"
    assert value(small_dsn, query) is True


def test_a_step_that_gets_no_lock_gives_way_and_is_tried_again(
    small_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adoption, "LOCK_WAIT", "50ms")
    monkeypatch.setattr(adoption, "ATTEMPTS", 2)
    monkeypatch.setattr(adoption, "PAUSE_S", 0.01)
    with psycopg.connect(small_dsn) as holder:
        holder.execute("SELECT count(*) FROM profiles")
        with pytest.raises(DatabaseError, match="run the command again"):
            carry_out(small_dsn, "expand")
    carry_out(small_dsn, "expand")


async def test_embeddings_get_a_pack_from_which_they_can_be_embedded_again(adopted_small_dsn: str) -> None:
    database = await Database.connect(adopted_small_dsn, pool_size=1)
    try:
        spare = SpareEmbeddings(database)
        assert await spare.in_force() == DIGEST
        coverage = await spare.coverage(OTHER_DIGEST)
        assert coverage["faces"].missing > 0
        pending = await spare.pending("celebrities", OTHER_DIGEST, None, 1000)
        assert len(pending) == coverage["celebrities"].missing
    finally:
        await database.close()


async def test_the_application_understands_the_tables_that_two_apps_use(adopted_small_dsn: str) -> None:
    database = await Database.connect(application_dsn(adopted_small_dsn), pool_size=1)
    try:
        async with database.transaction() as connection:
            for name, text in queries.items():
                if name.startswith("stage_"):
                    await connection.execute(text)
            for text in queries.values():
                await connection.prepare(text)
        assert await database.fetch("SELECT * FROM face_traits LIMIT 1")
    finally:
        await database.close()


def test_an_adoption_goes_on_with_the_pack_it_began_with(small_dsn: str) -> None:
    with pytest.raises(KilledError):
        carry_out(small_dsn, "expand", DIGEST, on_step=kill_at("put rows of faces right"))
    with pytest.raises(ConflictError, match="began with the pack"):
        carry_out(small_dsn, "expand", OTHER_DIGEST)
    assert look(small_dsn, "expand").pack_digest == DIGEST


def kill_at(title: str) -> Callable[[int, Step], None]:
    def kill(_: int, step: Step) -> None:
        if step.title == title:
            raise KilledError(title)

    return kill


def test_nobody_makes_themselves_an_admin_by_the_rights_of_the_old_app(adopted_small_dsn: str) -> None:
    with psycopg.connect(adopted_small_dsn) as connection:
        user = connection.execute("SELECT id FROM profiles WHERE profile_type = 'user' LIMIT 1").fetchone()
        assert user is not None
        connection.execute("SELECT set_config('request.jwt.claims', %s, true)", [f'{{"sub": "{user[0]}"}}'])
        connection.execute("SET LOCAL ROLE authenticated")
        changed = connection.execute("UPDATE profiles SET role = 'admin', name = 'Eve' WHERE id = %s", user)
        assert changed.rowcount == 1
        connection.execute("RESET ROLE")
        found = connection.execute("SELECT name, role FROM profiles WHERE id = %s", user).fetchone()
        assert found == ("Eve", "user")
        connection.execute("UPDATE profiles SET role = 'admin' WHERE id = %s", user)
        assert connection.execute("SELECT role FROM profiles WHERE id = %s", user).fetchone() == ("admin",)
        connection.rollback()


def test_what_would_be_done_twice_is_done_by_one_trigger(adopted_small_dsn: str) -> None:
    triggers = catalog(adopted_small_dsn).triggers
    assert [each.function for each in triggers["auth.users"].values()] == ["handle_new_user()"]
    assert "faces_auto_create_match_job" in triggers["faces"]
    assert "trigger_auto_create_match_job" not in triggers["faces"]


def test_what_the_schema_has_beside_definitions_can_be_run_again(empty_dsn: str) -> None:
    """Blocks check whether there is something to do; rows of a new database are added once."""
    dsn = empty_dsn
    # Run here, because what it makes depends on the server's roles.
    upgrade(dsn)
    before = snapshot(dsn)
    with psycopg.connect(dsn) as connection:
        target = read_target(connection)
        set_search_path(connection)
        for block in (*target.foundation, *target.blocks):
            connection.execute(block.encode())
        connection.commit()
    assert snapshot(dsn) == before
    assert len(target.foundation) == 3
    for seed in target.seeds:
        assert "ON CONFLICT" in seed or "SELECT count(*) FROM" in seed


def test_an_early_database_of_a_plain_server(
    empty_dsn: str, make_database: Callable[[str], str], dsn: str
) -> None:
    run(empty_dsn, early(""))
    carry_out(empty_dsn, "expand")
    carry_out(empty_dsn, "finish")
    assert_same_schema(empty_dsn, dsn)
    with psycopg.connect(empty_dsn) as connection:
        found = connection.execute("SELECT similarity_score, face_a_id < face_b_id FROM matches").fetchall()
        assert found == [(0.75, True)]
        # The second row of the same picture has no hash any more, and dangling rows are kept aside.
        found = connection.execute("SELECT image_path, image_hash FROM faces ORDER BY id").fetchall()
        assert found == [("a.jpg", "h"), ("a.jpg", None), ("c.jpg", "c")]
        found = connection.execute(
            "SELECT table_name, content ->> 'image_path' FROM semblance_adoption.kept_rows"
        ).fetchall()
        assert found == [("faces", "d.jpg")]
        assert connection.execute("SELECT name FROM celebrities").fetchall() == [("Bob",)]


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("ALTER TABLE faces ADD COLUMN embedding vector(128)", r"faces.embedding is vector\(128\)"),
        ("CREATE TABLE generation_logs (id bigint PRIMARY KEY)", "generation_logs.id is bigint"),
        ("UPDATE profiles SET email = 'a@mit.edu'", "1 e-mail addresses"),
        ("CREATE TABLE messages (id uuid)", "messages has no primary key"),
        ("CREATE POLICY narrow ON faces AS RESTRICTIVE USING (false)", "narrow would hide rows of faces"),
        (
            "CREATE VIEW shown AS SELECT similarity_score FROM matches",
            "matches.similarity_score is numeric and has to become double precision",
        ),
    ],
)
@pytest.mark.usefixtures("known_targets")
def test_obstacles_are_named_before_anything_is_changed(empty_dsn: str, sql: str, problem: str) -> None:
    run(empty_dsn, early("CREATE EXTENSION vector;") + sql)
    (obstacle,) = look(empty_dsn, "expand").plan.obstacles
    assert obstacle.fix
    before = described(catalog(empty_dsn))
    with pytest.raises(ConfigurationError, match=problem):
        carry_out(empty_dsn, "expand")
    assert described(catalog(empty_dsn)) == before


@pytest.mark.usefixtures("known_targets")
def test_vectors_of_another_size_are_kept_aside(empty_dsn: str) -> None:
    run(empty_dsn, early("CREATE EXTENSION vector;") + "ALTER TABLE faces ADD COLUMN embedding vector")
    run(empty_dsn, "UPDATE faces SET embedding = '[1, 2]' WHERE image_hash = 'c'")
    run(empty_dsn, f"UPDATE faces SET embedding = '{VECTOR}' WHERE image_hash = 'h'")
    carry_out(empty_dsn, "expand")
    query = "SELECT value FROM semblance_adoption.kept_values WHERE column_name = 'embedding'"
    assert value(empty_dsn, query) == [1, 2]
    assert value(empty_dsn, "SELECT count(embedding) FROM faces") == 2


@pytest.mark.parametrize(
    ("sql", "query", "expected"),
    [
        ("UPDATE profiles SET gender = 'Man'", "SELECT gender FROM profiles LIMIT 1", "male"),
        ("UPDATE profiles SET gender = 'genderfluid'", "SELECT gender FROM profiles LIMIT 1", "other"),
        ("UPDATE faces SET gender = 'unsure'", "SELECT gender FROM faces LIMIT 1", None),
        ("UPDATE faces SET expression = 'Surprised'", "SELECT expression FROM faces LIMIT 1", "surprise"),
        ("UPDATE faces SET age = -1", "SELECT age FROM faces LIMIT 1", None),
        ("UPDATE faces SET pose = '[1]'", "SELECT pose FROM faces LIMIT 1", None),
        ("UPDATE matches SET similarity_score = -.3", "SELECT similarity_score FROM matches", 0),
        ("UPDATE matches SET similarity_score = 1.25", "SELECT similarity_score FROM matches", 0),
        (
            "INSERT INTO matches (face_a_id, face_b_id, similarity_score) SELECT face_b_id, face_a_id, .1"
            " FROM matches",
            "SELECT count(*) FROM matches",
            1,
        ),
        (
            f"UPDATE faces SET embedding = '{VECTOR}' WHERE image_hash = 'c'",
            "SELECT pack_digest FROM faces WHERE image_hash = 'c'",
            UNKNOWN_PACK,
        ),
        (
            f"UPDATE faces SET embedding = '{VECTOR}', pack_digest = '{DIGEST}' WHERE image_hash = 'c';"
            "UPDATE faces SET embedding = -1 * embedding WHERE image_hash = 'c'".replace(
                "-1 * embedding", f"'{VECTOR.replace('1', '-1')}'"
            ),
            "SELECT pack_digest FROM faces WHERE image_hash = 'c'",
            UNKNOWN_PACK,
        ),
        (
            f"UPDATE faces SET embedding = '{VECTOR}', pack_digest = '{DIGEST}' WHERE image_hash = 'c'",
            "SELECT pack_digest FROM faces WHERE image_hash = 'c'",
            DIGEST,
        ),
        (
            "INSERT INTO reactions (user_profile_id, match_id, reaction_type) SELECT profiles.id, matches.id,"
            " 'favorite' FROM profiles, matches WHERE name = 'Ada'",
            "SELECT reaction_type FROM reactions",
            "like",
        ),
        (
            "UPDATE system_settings SET value = '1.7' WHERE key = 'match_threshold'",
            "SELECT value FROM system_settings WHERE key = 'match_threshold'",
            0.5,
        ),
        ("UPDATE babies SET created_at = NULL", "SELECT created_at IS NULL FROM babies", False),
    ],
)
def test_what_the_old_app_writes_meanwhile_is_put_right(
    adopted: str, sql: str, query: str, expected: object
) -> None:
    run(adopted, sql)
    assert value(adopted, query) == expected


@pytest.fixture(scope="module")
def adopted_name(postgres: str) -> Iterator[str]:
    """Name of an early database in the middle of its adoption."""
    # Its table of settings is the old app's too, otherwise nothing would be in the way.
    settings = "CREATE TABLE system_settings (key text PRIMARY KEY, value jsonb NOT NULL);"
    with made_database(postgres, "adopted_early", "template1") as made:
        run(made, early("CREATE EXTENSION vector;") + settings)
        carry_out(made, "expand")
        yield "adopted_early"


@pytest.fixture
def adopted(adopted_name: str, make_database: Callable[[str], str], known_targets: None) -> str:
    return make_database(adopted_name)


def test_a_view_on_something_to_be_dropped_is_named(adopted: str) -> None:
    run(adopted, "CREATE VIEW shown AS SELECT qdrant_point_id FROM faces")
    (obstacle,) = look(adopted, "finish").plan.obstacles
    assert "on view shown uses faces.qdrant_point_id" in obstacle.problem


def test_unknown_objects_stay(adopted: str) -> None:
    run(
        adopted,
        "CREATE TABLE diary (id uuid, face_id uuid REFERENCES faces (id));"
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        "CREATE TRIGGER note BEFORE INSERT ON diary FOR EACH ROW EXECUTE FUNCTION note()",
    )
    assert look(adopted, "finish").unknown == ("diary",)
    carry_out(adopted, "finish")
    run(adopted, "INSERT INTO diary DEFAULT VALUES")


def test_rows_that_no_rule_knows_keep_the_old_app_from_being_finished(adopted: str) -> None:
    run(adopted, "INSERT INTO matches (face_a_id, face_b_id, similarity_score)"
                 " SELECT id, id, 1 FROM faces WHERE image_hash = 'c'")  # fmt: skip
    (obstacle,) = look(adopted, "finish").plan.obstacles
    assert "1 rows of matches break the rule matches_pair_order_check" in obstacle.problem
    with pytest.raises(ConfigurationError, match="matches_pair_order_check"):
        carry_out(adopted, "finish")
    run(adopted, "DELETE FROM matches WHERE face_a_id = face_b_id")
    carry_out(adopted, "finish")


PUBLISHED = (
    "SELECT array_agg(tablename::text ORDER BY tablename) FROM pg_publication_tables"
    " WHERE pubname = 'supabase_realtime'"
)
HEARD = ["matches", "messages", "mutual_connections", "notifications", "profiles"]


def test_clients_hear_on_supabase_what_they_subscribed_to(empty_dsn: str) -> None:
    run(empty_dsn, SUPABASE + "CREATE PUBLICATION supabase_realtime")
    upgrade(empty_dsn)
    assert value(empty_dsn, PUBLISHED) == HEARD
    query = (
        "SELECT attnames::text[] FROM pg_publication_tables"
        " WHERE pubname = 'supabase_realtime' AND tablename = 'profiles'"
    )
    columns = value(empty_dsn, query)
    assert isinstance(columns, list)
    assert "email" not in columns
    # Again, as another deployment would.
    migration = next(each for each in MIGRATIONS if each.revision == "0015")
    run(empty_dsn, migration.up.read_text(encoding="utf-8"))
    assert value(empty_dsn, PUBLISHED) == HEARD


@pytest.mark.parametrize("what", ["ALL TABLES", "TABLES IN SCHEMA public", "TABLES IN SCHEMA auth"])
def test_a_publication_of_everything_or_none_stays(empty_dsn: str, dsn: str, what: str) -> None:
    run(empty_dsn, SUPABASE + f"CREATE PUBLICATION supabase_realtime FOR {what}")
    upgrade(empty_dsn)
    assert value(dsn, "SELECT count(*) FROM pg_publication") == 0


def test_a_transaction_mode_pooler_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="5432"):
        look("postgresql://user@host:6543/name", "expand")


SUPABASE_OWNER = """
    DO $$
    DECLARE
        statement text;
    BEGIN
        FOR statement IN
            SELECT format('ALTER TABLE %s OWNER TO old_owner', oid::regclass) FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
            UNION ALL
            SELECT format('ALTER FUNCTION %s OWNER TO old_owner', oid::regprocedure) FROM pg_proc
            WHERE pronamespace = 'public'::regnamespace
        LOOP
            EXECUTE statement;
        END LOOP;
        EXECUTE format('ALTER DATABASE %I OWNER TO old_owner', current_database());
    END
    $$;
    ALTER SCHEMA public OWNER TO old_owner;
    ALTER PUBLICATION supabase_realtime OWNER TO old_owner;
    GRANT USAGE ON SCHEMA auth, extensions, cron TO old_owner;
    GRANT ALL ON auth.users TO old_owner;
    GRANT SELECT ON cron.job TO old_owner;
"""


@pytest.fixture
def owner_dsn(small_dsn: str) -> Iterator[str]:
    """The same for `postgres` of an old or self-hosted Supabase project: no superuser, and auth.users is not
    its own."""
    run(small_dsn, "CREATE ROLE old_owner LOGIN CREATEROLE BYPASSRLS")
    run(small_dsn, SUPABASE_OWNER)
    yield small_dsn.replace("://postgres@", "://old_owner@")
    run(small_dsn, "REASSIGN OWNED BY old_owner TO postgres; DROP OWNED BY old_owner; DROP ROLE old_owner")


@pytest.mark.parametrize("name", ["create_profile_for_new_user", "handle_new_user"])
def test_the_owner_of_the_tables_need_not_own_the_accounts(owner_dsn: str, small_dsn: str, name: str) -> None:
    if name != "create_profile_for_new_user":
        # As Supabase's guides call it, and as it is called here.
        run(small_dsn, f"ALTER FUNCTION create_profile_for_new_user() RENAME TO {name}")
    app = OldApp(small_dsn)
    for phase in ("expand", "finish"):
        carry_out(owner_dsn, phase)
        functions = {each.function for each in catalog(small_dsn).triggers["auth.users"].values()}
        assert functions == {"handle_new_user()"}
        app.sign_up()
    app.close()
