from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import numpy as np
import psycopg
import pytest

from tests.support.rows import DIGEST, add_face, add_match, add_profile
from tests.support.waiting import PATIENCE_S

VECTOR = "[" + ",".join(["1"] * 512) + "]"
POINTS = "[" + ",".join(["[1.5, 2]"] * 68) + "]"

# Names the documents and clients of the schema rely on.
INDEXES = {
    "profiles": "profiles_pkey profiles_email_key idx_profiles_school_gender idx_profiles_last_seen"
    " idx_profiles_role",
    "faces": "faces_pkey idx_faces_profile_id ux_faces_profile_hash idx_faces_image_hash"
    " faces_embedding_half_idx",
    "matches": "matches_pkey idx_matches_face_b_id idx_matches_similarity_score",
    "celebrities": "celebrities_pkey celebrities_image_hash_key celebrities_embedding_half_idx"
    " idx_celebrities_created_at idx_celebrities_category idx_celebrities_gender",
    "celebrity_matches": "celebrity_matches_pkey unique_face_celebrity idx_celebrity_matches_celebrity_id",
    "reactions": "reactions_pkey reactions_match_user_type_unique idx_reactions_type idx_reactions_user_type",
    "babies": "babies_pkey idx_babies_match_id idx_babies_created_at",
    "match_jobs": "match_jobs_pkey",
    "notifications": "notifications_pkey idx_notifications_created_at",
    "mutual_connections": "mutual_connections_pkey idx_mutual_connections_profile_a"
    " idx_mutual_connections_profile_b idx_mutual_connections_match_id idx_mutual_connections_status",
    "messages": "messages_pkey idx_messages_sender_id",
    "system_settings": "system_settings_pkey idx_system_settings_updated_at",
}


@pytest.fixture
def connection(dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn, autocommit=True) as connected:
        yield connected


def value(connection: psycopg.Connection, query: str, *args: object) -> object:
    row = connection.execute(query, args).fetchone()
    return row[0] if row else None


def test_documented_indexes_exist(connection: psycopg.Connection) -> None:
    rows = connection.execute("SELECT tablename, indexname FROM pg_indexes WHERE schemaname = 'public'")
    found = set(rows.fetchall())
    assert {(table, name) for table, names in INDEXES.items() for name in names.split()} <= found


def test_no_index_only_begins_as_another_one(connection: psycopg.Connection) -> None:
    """It would cost as much with each row, and serve nothing that the other one does not."""
    rows = connection.execute(
        """
        SELECT short.indexrelid::regclass::text
        FROM pg_index AS short
        JOIN pg_index AS long ON long.indrelid = short.indrelid AND long.indexrelid <> short.indexrelid
        JOIN pg_class ON pg_class.oid = short.indexrelid
        WHERE relnamespace = 'public'::regnamespace
            AND NOT short.indisunique
            AND short.indnkeyatts <= long.indnkeyatts
            AND pg_get_expr(short.indpred, short.indrelid)
                IS NOT DISTINCT FROM pg_get_expr(long.indpred, long.indrelid)
            AND (
                SELECT bool_and(
                    pg_get_indexdef(short.indexrelid, key, false)
                        = pg_get_indexdef(long.indexrelid, key, false)
                    AND short.indclass[key - 1] = long.indclass[key - 1]
                    AND short.indoption[key - 1] = long.indoption[key - 1]
                )
                FROM generate_series(1, short.indnkeyatts) AS key
            )
        """
    )
    assert rows.fetchall() == []


def test_all_vector_indexes_are_hnsw_with_the_documented_parameters(connection: psycopg.Connection) -> None:
    rows = connection.execute("SELECT indexdef FROM pg_indexes WHERE indexdef LIKE '%halfvec_cosine_ops%'")
    definitions = [row[0] for row in rows]
    assert len(definitions) == 2
    for definition in definitions:
        assert "USING hnsw" in definition
        assert "m='16', ef_construction='64'" in definition


def test_embeddings_are_stored_in_the_row(connection: psycopg.Connection) -> None:
    rows = connection.execute(
        "SELECT relname, attstorage FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
        " WHERE attname = 'embedding' AND relkind = 'r' ORDER BY 1"
    )
    tables = (
        *("celebrities", "faces", "spare_celebrity_embeddings", "spare_face_embeddings"),
        "text_embeddings",
    )
    assert rows.fetchall() == [(table, "p") for table in tables]


def test_the_longest_row_still_fits_a_page(connection: psycopg.Connection) -> None:
    """An embedding cannot be moved out of its row, so all else must be able to."""
    text = np.random.default_rng(0).bytes(60_000).hex()
    profile = add_profile(connection)
    face = add_face(
        connection, profile, embedding=VECTOR, pack_digest=DIGEST, image_path=text, landmarks_68=POINTS
    )
    assert value(connection, "SELECT length(image_path) FROM faces WHERE id = %s", face) == 120_000


def test_every_foreign_key_has_an_index_to_follow_it_backwards(connection: psycopg.Connection) -> None:
    """Without one, deleting a row scans every table that refers to it."""
    rows = connection.execute(
        """
        SELECT conrelid::regclass::text, conname FROM pg_constraint
        WHERE contype = 'f' AND connamespace = 'public'::regnamespace AND NOT EXISTS (
            SELECT FROM pg_index WHERE indrelid = conrelid AND indkey[0] = conkey[1]
        )
        """
    )
    assert rows.fetchall() == []


def test_settings_have_the_documented_defaults(connection: psycopg.Connection) -> None:
    settings: dict[str, object] = dict(
        connection.execute("SELECT key, value FROM system_settings").fetchall()
    )
    weights = settings.pop("matching_weights")
    assert weights == {
        "embedding": 0.20,
        "geometry": 0.20,
        "age": 0.15,
        "symmetry": 0.15,
        "skin_tone": 0.15,
        "expression": 0.15,
    }
    assert settings == {
        "match_threshold": 0.5,
        "allow_non_edu_emails": False,
        "daily_photo_upload_limit": 20,
        "daily_baby_generation_limit": 10,
        "text_generation": False,
        "profile_search": False,
        "message_search": False,
    }


@pytest.mark.parametrize(
    ("key", "new"),
    [
        ("matching_weights", '{"embedding": 1}'),
        (
            "matching_weights",
            '{"embedding": 0.5, "geometry": 0.5, "age": 0.1, "symmetry": 0, "skin_tone": 0, "expression": 0}',
        ),
        (
            "matching_weights",
            '{"embedding": 1.5, "geometry": -0.5, "age": 0, "symmetry": 0, "skin_tone": 0, "expression": 0}',
        ),
        (
            "matching_weights",
            '{"embedding": "1", "geometry": 0, "age": 0, "symmetry": 0, "skin_tone": 0, "expression": 0}',
        ),
        (
            "matching_weights",
            '{"embedding": 1, "geometry": 0, "age": 0, "symmetry": 0, "skin": 0, "expression": 0}',
        ),
        ("matching_weights", "[]"),
        ("matching_weights", "{}"),
        ("match_threshold", "1.1"),
        ("match_threshold", '"0.5"'),
        ("allow_non_edu_emails", '"yes"'),
        ("daily_photo_upload_limit", "-2"),
        ("daily_baby_generation_limit", "1.5"),
    ],
)
def test_a_setting_out_of_bounds_is_refused(connection: psycopg.Connection, key: str, new: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute("UPDATE system_settings SET value = %s WHERE key = %s", (new, key))


@pytest.mark.parametrize(
    ("key", "new"),
    [
        (
            "matching_weights",
            '{"embedding": 0.9995, "geometry": 0, "age": 0, "symmetry": 0, "skin_tone": 0, "expression": 0}',
        ),
        ("match_threshold", "0"),
        ("daily_photo_upload_limit", "-1"),
        ("daily_baby_generation_limit", "0"),
    ],
)
def test_a_setting_at_its_bounds_is_taken(connection: psycopg.Connection, key: str, new: str) -> None:
    connection.execute("UPDATE system_settings SET value = %s WHERE key = %s", (new, key))


@pytest.mark.parametrize(
    ("columns", "constraint"),
    [
        ({"embedding": VECTOR}, "faces_pack_digest_check"),
        ({"pack_digest": DIGEST}, "faces_pack_digest_check"),
        ({"landmarks_68": "[[1, 2]]"}, "faces_landmarks_68_check"),
        ({"landmarks_68": '{"x": 1}'}, "faces_landmarks_68_check"),
        ({"pose": '{"yaw": 1, "pitch": 2}'}, "faces_pose_check"),
        ({"geometry_ratios": "[]"}, "faces_geometry_ratios_check"),
        ({"skin_tone_lab": [1.0, 2.0]}, "faces_skin_tone_lab_check"),
        ({"quality_score": 1.01}, "faces_quality_score_check"),
        ({"blur_score": -0.01}, "faces_blur_score_check"),
        ({"illumination_score": float("nan")}, "faces_illumination_score_check"),
        ({"symmetry_score": 2}, "faces_symmetry_score_check"),
        ({"expression_confidence": 1.5}, "faces_expression_confidence_check"),
        ({"expression": "bored"}, "faces_expression_check"),
        ({"emotion_scores": "[]"}, "faces_emotion_scores_check"),
        ({"age": -1}, "faces_age_check"),
        ({"gender": "other"}, "faces_gender_check"),
    ],
)
def test_a_face_that_breaks_a_rule_is_refused(
    connection: psycopg.Connection, columns: dict[str, object], constraint: str
) -> None:
    profile = add_profile(connection)
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        add_face(connection, profile, **columns)
    assert caught.value.diag.constraint_name == constraint


def test_a_face_as_documented_is_taken(connection: psycopg.Connection) -> None:
    add_face(
        connection,
        add_profile(connection),
        embedding=VECTOR,
        pack_digest=DIGEST,
        landmarks_68=POINTS,
        pose='{"yaw": -10.5, "pitch": 0, "roll": 90}',
        geometry_ratios='{"face_width_height_ratio": 0.75}',
        skin_tone_lab=[65.0, -10.0, 20.0],
        quality_score=0,
        symmetry_score=1,
        expression="fear",
        emotion_scores='{"fear": 1}',
        age=0,
        gender="female",
    )


def test_the_same_picture_of_one_user_is_stored_once(connection: psycopg.Connection) -> None:
    one, other = add_profile(connection), add_profile(connection)
    add_face(connection, one, image_hash="a")
    add_face(connection, other, image_hash="a")
    with pytest.raises(psycopg.errors.UniqueViolation):
        add_face(connection, one, image_hash="a")


@pytest.fixture
def pair(connection: psycopg.Connection) -> tuple[UUID, UUID]:
    """Faces of two users, the lesser id first."""
    faces = sorted(add_face(connection, add_profile(connection)) for _ in range(2))
    return faces[0], faces[1]


def test_a_pair_is_stored_once_and_in_one_order(
    connection: psycopg.Connection, pair: tuple[UUID, UUID]
) -> None:
    insert = "INSERT INTO matches (face_a_id, face_b_id, similarity_score) VALUES (%s, %s, .5)"
    connection.execute(insert, pair)
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute(insert, pair)
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(insert, pair[::-1])
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(insert, (pair[0], pair[0]))


WEIGHTS = '{"embedding": 1, "geometry": 0, "age": 0, "symmetry": 0, "skin_tone": 0, "expression": 0}'


@pytest.mark.parametrize(
    ("factors", "weights", "taken"),
    [
        ([None] * 6, None, True),
        ([0.5] * 6, WEIGHTS, True),
        ([0.5] * 6, None, False),
        ([0.5] * 5 + [None], WEIGHTS, False),
        ([0.5] * 5 + [1.5], WEIGHTS, False),
        ([0.5] * 6, '{"embedding": 1}', False),
    ],
)
def test_factors_and_weights_come_together(
    connection: psycopg.Connection,
    pair: tuple[UUID, UUID],
    factors: list[float | None],
    weights: str | None,
    taken: bool,
) -> None:
    columns = (
        "factor_embedding, factor_geometry, factor_age, factor_symmetry, factor_skin_tone,"
        " factor_expression, weights, similarity_score"
    )
    celebrity = value(
        connection, "INSERT INTO celebrities (name, image_path) VALUES ('A', 'a.jpg') RETURNING id"
    )
    for table, keys, ids in (
        ("matches", "face_a_id, face_b_id", pair),
        ("celebrity_matches", "face_id, celebrity_id", (pair[0], celebrity)),
    ):
        insert = f"INSERT INTO {table} ({keys}, {columns}) VALUES ({', '.join(['%s'] * 10)})"
        if taken:
            connection.execute(insert, (*ids, *factors, weights, 0.5))
        else:
            with pytest.raises(psycopg.errors.CheckViolation):
                connection.execute(insert, (*ids, *factors, weights, 0.5))


def test_two_users_are_connected_once(connection: psycopg.Connection, pair: tuple[UUID, UUID]) -> None:
    match = add_match(connection, *pair)
    users = [value(connection, "SELECT profile_id FROM faces WHERE id = %s", face) for face in pair]
    insert = "INSERT INTO mutual_connections (profile_a_id, profile_b_id, match_id) VALUES (%s, %s, %s)"
    connection.execute(insert, (*users, match))
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute(insert, (*users[::-1], match))
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(insert, (users[0], users[0], match))


def test_a_new_face_of_a_user_queues_a_job_and_wakes_the_workers(
    connection: psycopg.Connection, dsn: str
) -> None:
    connection.execute("LISTEN match_jobs")
    with psycopg.connect(dsn) as other:
        user = add_profile(other)
        face = add_face(other, user)
        add_face(other, add_profile(other, profile_type="celebrity"))
        assert list(connection.notifies(timeout=0.2)) == []
    assert [notice.channel for notice in connection.notifies(timeout=PATIENCE_S, stop_after=1)] == [
        "match_jobs"
    ]
    jobs = connection.execute(
        "SELECT face_id, user_id, status, job_type, attempts, max_attempts FROM match_jobs"
    )
    assert jobs.fetchall() == [(face, user, "pending", "both", 0, 3)]


def test_changing_a_row_moves_its_updated_at(connection: psycopg.Connection) -> None:
    profile = add_profile(connection)
    connection.execute("UPDATE profiles SET name = 'Ada' WHERE id = %s", [profile])
    assert value(connection, "SELECT updated_at > created_at FROM profiles WHERE id = %s", profile)


@pytest.mark.parametrize(
    "table", ["celebrities", "celebrity_matches", "mutual_connections", "system_settings"]
)
def test_other_tables_move_their_updated_at_too(connection: psycopg.Connection, table: str) -> None:
    found = value(
        connection,
        "SELECT count(*) FROM pg_trigger WHERE tgrelid = %s::regclass AND tgfoid = 'set_updated_at'::regproc",
        table,
    )
    assert found == 1


def test_deleting_a_face_deletes_all_that_refers_to_it(
    connection: psycopg.Connection, pair: tuple[UUID, UUID]
) -> None:
    match = add_match(connection, *pair)
    owner, other = (value(connection, "SELECT profile_id FROM faces WHERE id = %s", face) for face in pair)
    connection.execute("UPDATE profiles SET default_face_id = %s WHERE id = %s", (pair[0], owner))
    connection.execute(
        "INSERT INTO reactions (user_profile_id, match_id, reaction_type) VALUES (%s, %s, 'like')",
        (other, match),
    )
    baby = value(
        connection,
        "INSERT INTO babies (match_id, generated_by_profile_id, image_url) VALUES (%s, %s, 'u') RETURNING id",
        match,
        other,
    )
    chat = value(
        connection,
        "INSERT INTO mutual_connections (profile_a_id, profile_b_id, match_id, baby_id)"
        " VALUES (%s, %s, %s, %s) RETURNING id",
        owner,
        other,
        match,
        baby,
    )
    connection.execute(
        "INSERT INTO messages (connection_id, sender_id, content) VALUES (%s, %s, 'hi')", (chat, owner)
    )
    connection.execute(
        "INSERT INTO generation_logs (match_id, baby_id, profile_id, provider, model, status)"
        " VALUES (%s, %s, %s, 'local', 'm', 'completed')",
        (match, baby, other),
    )
    connection.execute("DELETE FROM faces WHERE id = %s", [pair[0]])
    for table in ("matches", "reactions", "babies", "mutual_connections", "messages"):
        assert value(connection, f"SELECT count(*) FROM {table}") == 0, table
    assert value(connection, "SELECT count(*) FROM match_jobs") == 1
    assert value(connection, "SELECT default_face_id FROM profiles WHERE id = %s", owner) is None
    assert connection.execute("SELECT match_id, baby_id, profile_id FROM generation_logs").fetchall() == [
        (None, None, other)
    ]


def test_a_quota_has_one_row_a_day_and_kind(connection: psycopg.Connection) -> None:
    profile = add_profile(connection)
    count = """
        INSERT INTO user_daily_quotas (profile_id, kind, count) VALUES (%s, 'photo_upload', 1)
        ON CONFLICT (profile_id, day, kind) DO UPDATE SET count = user_daily_quotas.count + 1 RETURNING count
    """
    assert [value(connection, count, profile) for _ in range(2)] == [1, 2]
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute("UPDATE user_daily_quotas SET count = -1")


def test_there_is_no_caller_without_a_token(connection: psycopg.Connection) -> None:
    assert value(connection, "SELECT auth.uid()") is None
    connection.execute("SET request.jwt.claims = ''")
    assert value(connection, "SELECT auth.uid()") is None
    user = str(UUID(int=7))
    connection.execute(f"SET request.jwt.claim.sub = '{user}'")
    assert str(value(connection, "SELECT auth.uid()")) == user
