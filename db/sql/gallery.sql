-- name: gallery_changes
-- What was committed since the snapshot $1, whose last entry was $2, and up to where the log has been read now; only the
-- latter if both are null. The snapshot tells of entries that were not committed then. Entries have ascending ids, which
-- tell of those whose transactions have the numbers of others that the snapshot saw and a crash of the server lost.
-- history: of which table, of which database of which server and in which of its histories. server: of which table, of
-- which database, and since when the server runs; while that is the same, so is the history, which takes longer to read.
-- set_back: the database has been restored to a state before the snapshot.
SELECT
    pg_current_snapshot()::text AS snapshot,
    coalesce((SELECT max(id) FROM celebrity_changes), $2, 0) AS last,
    ARRAY(
        SELECT DISTINCT celebrity_id
        FROM celebrity_changes
        WHERE id > $2
            OR transaction >= pg_snapshot_xmin($1::text::pg_snapshot)
            AND NOT pg_visible_in_snapshot(transaction, $1::text::pg_snapshot)
    ) AS changed,
    concat_ws(
        '/',
        (SELECT system_identifier FROM pg_control_system()),
        (SELECT timeline_id FROM pg_control_checkpoint()),
        (SELECT oid FROM pg_database WHERE datname = current_database()),
        'celebrities'::regclass::oid
    ) AS history,
    concat_ws(
        '/',
        (SELECT oid FROM pg_database WHERE datname = current_database()),
        'celebrities'::regclass::oid,
        pg_postmaster_start_time()
    ) AS server,
    pg_snapshot_xmax(pg_current_snapshot()) < pg_snapshot_xmax($1::text::pg_snapshot) AS set_back;

-- name: read_gallery
-- For COPY in binary: every column has a fixed length, so that a row has. $1: pack digest, $2: ids, or null for
-- all. The category is an MD5, which only has to tell categories apart; zeros are no category.
SELECT
    id,
    embedding,
    geometry,
    age,
    symmetry,
    skin_tone,
    expression,
    quality,
    gender_number(gender) AS gender,
    coalesce(md5(category)::uuid, '00000000-0000-0000-0000-000000000000') AS category,
    person
FROM celebrity_traits_by($1)
WHERE $2::uuid[] IS NULL OR id = ANY($2::uuid[])

-- name: prune_celebrity_changes
-- Changes older than $1, at most $2 at a time, of transactions that every snapshot sees: a transaction that is open for
-- longer must not lose its changes before a gallery has read them.
WITH old AS (
    SELECT id
    FROM celebrity_changes
    WHERE created_at < $1 AND transaction < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY created_at
    LIMIT $2
),
gone AS (
    DELETE FROM celebrity_changes USING old WHERE celebrity_changes.id = old.id RETURNING 1
)
SELECT count(*) FROM gone;
