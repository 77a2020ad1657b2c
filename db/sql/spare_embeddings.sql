-- name: pack_in_force
-- The pack by which stored faces are matched; before the first switch, the one of most embeddings. Null without any.
SELECT coalesce((SELECT pack_digest FROM pack_in_force), (
    SELECT pack_digest
    FROM (SELECT pack_digest FROM faces UNION ALL SELECT pack_digest FROM celebrities) AS described
    WHERE pack_digest IS NOT NULL
    GROUP BY pack_digest
    ORDER BY count(*) DESC, pack_digest
    LIMIT 1
));

-- name: count_embeddings_by_pack
-- What there is of the pack $1 in both tables. Faces that are not analyzed yet belong to no pack.
SELECT
    'faces' AS "table",
    count(*) FILTER (WHERE faces.pack_digest IS NULL) AS undescribed,
    count(*) FILTER (WHERE faces.pack_digest = $1 OR spare.pack_digest IS NOT NULL) AS embedded,
    count(*) FILTER (WHERE faces.pack_digest <> $1 AND spare.pack_digest IS NULL) AS missing
FROM faces
LEFT JOIN spare_face_embeddings AS spare ON spare.face_id = faces.id AND spare.pack_digest = $1
UNION ALL
SELECT
    'celebrities',
    count(*) FILTER (WHERE celebrities.pack_digest IS NULL),
    count(*) FILTER (WHERE celebrities.pack_digest = $1 OR spare.pack_digest IS NOT NULL),
    count(*) FILTER (WHERE celebrities.pack_digest <> $1 AND spare.pack_digest IS NULL)
FROM celebrities
LEFT JOIN spare_celebrity_embeddings AS spare
    ON spare.celebrity_id = celebrities.id AND spare.pack_digest = $1;

-- name: faces_to_reembed
-- The next $3 faces after the id $2 that have an embedding, but none of the pack $1.
SELECT id, image_path, landmarks_68
FROM faces
WHERE pack_digest <> $1
    AND ($2::uuid IS NULL OR id > $2)
    AND NOT EXISTS (SELECT FROM spare_face_embeddings WHERE face_id = faces.id AND pack_digest = $1)
ORDER BY id
LIMIT $3;

-- name: celebrities_to_reembed
SELECT id, image_path, landmarks_68
FROM celebrities
WHERE pack_digest <> $1
    AND ($2::uuid IS NULL OR id > $2)
    AND NOT EXISTS (
        SELECT FROM spare_celebrity_embeddings WHERE celebrity_id = celebrities.id AND pack_digest = $1
    )
ORDER BY id
LIMIT $3;

-- name: stage_spare_embeddings
CREATE TEMPORARY TABLE staged_spare_embeddings (
    id uuid PRIMARY KEY,
    embedding vector(512) NOT NULL
) ON COMMIT DROP;

-- name: merge_spare_face_embeddings
-- For rows that exist and are still served by another pack. An existing spare embedding stays.
INSERT INTO spare_face_embeddings (face_id, pack_digest, embedding)
SELECT faces.id, $1, staged.embedding
FROM staged_spare_embeddings AS staged
JOIN faces ON faces.id = staged.id
WHERE faces.pack_digest <> $1
ORDER BY faces.id
ON CONFLICT DO NOTHING;

-- name: merge_spare_celebrity_embeddings
INSERT INTO spare_celebrity_embeddings (celebrity_id, pack_digest, embedding)
SELECT celebrities.id, $1, staged.embedding
FROM staged_spare_embeddings AS staged
JOIN celebrities ON celebrities.id = staged.id
WHERE celebrities.pack_digest <> $1
ORDER BY celebrities.id
ON CONFLICT DO NOTHING;

-- name: sample_faces_of_two_packs
-- For COPY in binary: up to $3 faces that have an embedding of both the pack $1 and the pack $2; the same ones each
-- time, chosen by something that has nothing to do with faces.
SELECT
    old.id,
    old.embedding,
    old.geometry,
    old.age,
    old.symmetry,
    old.skin_tone,
    old.expression,
    old.quality,
    gender_number(gender) AS gender,
    new.embedding
FROM face_traits_by($1) AS old
JOIN profiles ON profiles.id = old.profile_id
JOIN face_embeddings AS new ON new.face_id = old.id AND new.pack_digest = $2
ORDER BY md5(old.id::text)
LIMIT $3

-- name: gallery_of_two_packs
-- For COPY in binary: celebrities that can be matched, with both embeddings.
SELECT
    old.id,
    old.embedding,
    geometry,
    age,
    symmetry,
    skin_tone,
    expression,
    quality,
    gender_number(gender) AS gender,
    new.embedding
FROM celebrity_traits_by($1) AS old
JOIN celebrity_embeddings AS new ON new.celebrity_id = old.id AND new.pack_digest = $2
WHERE quality >= $3

-- name: may_switch
SELECT bool_and(has_table_privilege(name, 'UPDATE')) AND bool_and(has_table_privilege(name, 'DELETE'))
FROM unnest(ARRAY[
    'faces', 'celebrities', 'spare_face_embeddings', 'spare_celebrity_embeddings', 'pack_in_force'
]) AS name;

-- name: hold_switch
-- One switch or removal at a time: false while another transaction has it.
SELECT pg_try_advisory_xact_lock(6010264533127421187);

-- name: release_snapshot
-- Run by itself, without parameters: ends the statement before it, whose snapshot CREATE INDEX CONCURRENTLY would wait
-- for until the end of the transaction.
SELECT;

-- name: spare_vector_indexes
-- The vector index of the spare embeddings of the pack $1, for each table: whether it is whole, null if it is not there,
-- and the statements that make and remove it. Interrupted, CREATE INDEX CONCURRENTLY leaves one that is not whole.
-- Earlier versions made some in full precision, which serve no search.
SELECT
    indisvalid AND pg_get_indexdef(indexrelid) LIKE '%halfvec%' AS valid,
    format(
        'CREATE INDEX CONCURRENTLY %I ON %I USING hnsw ((l2_normalize(embedding)::halfvec(512)) halfvec_cosine_ops)'
        ' WITH (m = 16, ef_construction = 64) WHERE pack_digest = %L',
        name, relation, $1::text
    ) AS make,
    format('DROP INDEX CONCURRENTLY %I', name) AS remove
FROM (
    SELECT relation, format('%s_%s', relation, left($1::text, 12)) AS name
    FROM unnest(ARRAY['spare_celebrity_embeddings', 'spare_face_embeddings']) AS relation
) AS wanted
LEFT JOIN pg_index ON indexrelid = to_regclass(quote_ident(name))
ORDER BY relation;

-- name: wait_for_index_builds
-- Run by itself, without parameters: it has no snapshot, for which a build would wait in turn.
LOCK TABLE spare_face_embeddings, spare_celebrity_embeddings IN SHARE UPDATE EXCLUSIVE MODE;

-- name: analyze_spare_embeddings
ANALYZE spare_face_embeddings, spare_celebrity_embeddings;

-- name: put_in_force
INSERT INTO pack_in_force (pack_digest)
VALUES ($1)
ON CONFLICT (singleton) DO UPDATE SET pack_digest = excluded.pack_digest, since = now();

-- name: replace_own_face_embeddings
-- Of the next $4 faces after the id $3 whose own embedding is of the pack $1: those with a spare embedding of the pack
-- $2 get that as their own. Nothing that a search by the pack $2 finds changes. Returns the last id, null at the end,
-- and how many were replaced.
WITH batch AS MATERIALIZED (
    SELECT id
    FROM faces
    WHERE pack_digest = $1 AND ($3::uuid IS NULL OR id > $3)
    ORDER BY id
    LIMIT $4
),
target AS MATERIALIZED (
    SELECT faces.id
    FROM faces
    WHERE id IN (SELECT id FROM batch) AND pack_digest = $1
    ORDER BY id
    FOR NO KEY UPDATE
),
taken AS (
    DELETE FROM spare_face_embeddings AS spare
    USING target
    WHERE spare.face_id = target.id AND spare.pack_digest = $2
    RETURNING face_id, embedding
),
replaced AS (
    UPDATE faces
    SET embedding = taken.embedding, pack_digest = $2
    FROM taken
    WHERE faces.id = face_id
    RETURNING 1
)
SELECT
    (SELECT id FROM batch ORDER BY id DESC LIMIT 1) AS last,
    (SELECT count(*) FROM replaced) AS changed;

-- name: replace_own_celebrity_embeddings
-- The same for celebrities.
WITH batch AS MATERIALIZED (
    SELECT id
    FROM celebrities
    WHERE pack_digest = $1 AND ($3::uuid IS NULL OR id > $3)
    ORDER BY id
    LIMIT $4
),
target AS MATERIALIZED (
    SELECT celebrities.id
    FROM celebrities
    WHERE id IN (SELECT id FROM batch) AND pack_digest = $1
    ORDER BY id
    FOR NO KEY UPDATE
),
taken AS (
    DELETE FROM spare_celebrity_embeddings AS spare
    USING target
    WHERE spare.celebrity_id = target.id AND spare.pack_digest = $2
    RETURNING celebrity_id, embedding
),
replaced AS (
    UPDATE celebrities
    SET embedding = taken.embedding, pack_digest = $2
    FROM taken
    WHERE celebrities.id = celebrity_id
    RETURNING 1
)
SELECT
    (SELECT id FROM batch ORDER BY id DESC LIMIT 1) AS last,
    (SELECT count(*) FROM replaced) AS changed;

-- name: remove_spare_face_embeddings
-- Those of the pack $1 of the next $3 faces after the id $2. Returns as above.
WITH batch AS MATERIALIZED (
    SELECT face_id AS id
    FROM spare_face_embeddings
    WHERE pack_digest = $1 AND ($2::uuid IS NULL OR face_id > $2)
    ORDER BY face_id
    LIMIT $3
),
removed AS (
    DELETE FROM spare_face_embeddings
    WHERE face_id IN (SELECT id FROM batch) AND pack_digest = $1
    RETURNING 1
)
SELECT
    (SELECT id FROM batch ORDER BY id DESC LIMIT 1) AS last,
    (SELECT count(*) FROM removed) AS changed;

-- name: remove_spare_celebrity_embeddings
-- The same for celebrities.
WITH batch AS MATERIALIZED (
    SELECT celebrity_id AS id
    FROM spare_celebrity_embeddings
    WHERE pack_digest = $1 AND ($2::uuid IS NULL OR celebrity_id > $2)
    ORDER BY celebrity_id
    LIMIT $3
),
removed AS (
    DELETE FROM spare_celebrity_embeddings
    WHERE celebrity_id IN (SELECT id FROM batch) AND pack_digest = $1
    RETURNING 1
)
SELECT
    (SELECT id FROM batch ORDER BY id DESC LIMIT 1) AS last,
    (SELECT count(*) FROM removed) AS changed;
