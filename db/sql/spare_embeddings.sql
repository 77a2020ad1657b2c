-- name: packs_in_use
-- Digests of the packs whose embeddings serve, the most frequent first.
SELECT pack_digest
FROM (SELECT pack_digest FROM faces UNION ALL SELECT pack_digest FROM celebrities) AS described
WHERE pack_digest IS NOT NULL
GROUP BY pack_digest
ORDER BY count(*) DESC, pack_digest;

-- name: count_spare_embeddings
-- What there is of the pack $1 in both tables. Faces that are not analyzed yet belong to no pack.
SELECT
    'faces' AS "table",
    count(*) FILTER (WHERE faces.pack_digest IS NULL) AS undescribed,
    count(*) FILTER (WHERE faces.pack_digest = $1) AS serving,
    count(*) FILTER (WHERE faces.pack_digest <> $1 AND spare.pack_digest IS NOT NULL) AS spare,
    count(*) FILTER (WHERE faces.pack_digest <> $1 AND spare.pack_digest IS NULL) AS missing
FROM faces
LEFT JOIN spare_face_embeddings AS spare ON spare.face_id = faces.id AND spare.pack_digest = $1
UNION ALL
SELECT
    'celebrities',
    count(*) FILTER (WHERE celebrities.pack_digest IS NULL),
    count(*) FILTER (WHERE celebrities.pack_digest = $1),
    count(*) FILTER (WHERE celebrities.pack_digest <> $1 AND spare.pack_digest IS NOT NULL),
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
-- For COPY in binary: up to $3 faces that have an embedding of the pack $1, which serves, and a spare one of the
-- pack $2; the same ones each time, chosen by something that has nothing to do with faces.
SELECT
    face_traits.id,
    face_traits.embedding,
    geometry,
    age,
    symmetry,
    skin_tone,
    expression,
    quality,
    gender_number(gender) AS gender,
    spare.embedding
FROM face_traits
JOIN profiles ON profiles.id = profile_id
JOIN spare_face_embeddings AS spare ON spare.face_id = face_traits.id AND spare.pack_digest = $2
WHERE face_traits.pack_digest = $1
ORDER BY md5(face_traits.id::text)
LIMIT $3

-- name: gallery_of_two_packs
-- For COPY in binary: celebrities that can be matched, with both embeddings.
SELECT
    celebrity_traits.id,
    celebrity_traits.embedding,
    geometry,
    age,
    symmetry,
    skin_tone,
    expression,
    quality,
    gender_number(gender) AS gender,
    spare.embedding
FROM celebrity_traits
JOIN spare_celebrity_embeddings AS spare
    ON spare.celebrity_id = celebrity_traits.id AND spare.pack_digest = $2
WHERE celebrity_traits.pack_digest = $1 AND quality >= $3

-- name: may_switch
SELECT bool_and(has_table_privilege(name, 'UPDATE')) AND bool_and(has_table_privilege(name, 'DELETE'))
FROM unnest(ARRAY['faces', 'celebrities', 'spare_face_embeddings', 'spare_celebrity_embeddings']) AS name;

-- name: lock_switch
-- One switch at a time, until the end of the transaction.
SELECT pg_advisory_xact_lock(6010264533127421187);

-- name: switch_faces
-- Gives the next $3 faces after the id $2 that have a spare embedding of the pack $1 that one, and keeps the
-- one they had as a spare. Returns the last id looked at, null at the end, and how many were switched.
WITH batch AS MATERIALIZED (
    SELECT face_id AS id, embedding
    FROM spare_face_embeddings
    WHERE pack_digest = $1 AND ($2::uuid IS NULL OR face_id > $2)
    ORDER BY face_id
    LIMIT $3
),
target AS MATERIALIZED (
    SELECT faces.id, faces.pack_digest, faces.embedding, batch.embedding AS spare
    FROM batch
    JOIN faces ON faces.id = batch.id
    WHERE faces.pack_digest <> $1
    ORDER BY faces.id
    FOR NO KEY UPDATE OF faces
),
taken AS (
    DELETE FROM spare_face_embeddings AS spare
    USING target
    WHERE spare.face_id = target.id AND spare.pack_digest = $1
),
kept AS (
    INSERT INTO spare_face_embeddings (face_id, pack_digest, embedding)
    SELECT id, pack_digest, embedding
    FROM target
    ON CONFLICT (face_id, pack_digest) DO UPDATE SET embedding = excluded.embedding
),
switched AS (
    UPDATE faces
    SET embedding = target.spare, pack_digest = $1
    FROM target
    WHERE faces.id = target.id
    RETURNING 1
)
SELECT
    (SELECT id FROM batch ORDER BY id DESC LIMIT 1) AS last,
    (SELECT count(*) FROM switched) AS switched;

-- name: switch_celebrities
-- The same for celebrities.
WITH batch AS MATERIALIZED (
    SELECT celebrity_id AS id, embedding
    FROM spare_celebrity_embeddings
    WHERE pack_digest = $1 AND ($2::uuid IS NULL OR celebrity_id > $2)
    ORDER BY celebrity_id
    LIMIT $3
),
target AS MATERIALIZED (
    SELECT celebrities.id, celebrities.pack_digest, celebrities.embedding, batch.embedding AS spare
    FROM batch
    JOIN celebrities ON celebrities.id = batch.id
    WHERE celebrities.pack_digest <> $1
    ORDER BY celebrities.id
    FOR NO KEY UPDATE OF celebrities
),
taken AS (
    DELETE FROM spare_celebrity_embeddings AS spare
    USING target
    WHERE spare.celebrity_id = target.id AND spare.pack_digest = $1
),
kept AS (
    INSERT INTO spare_celebrity_embeddings (celebrity_id, pack_digest, embedding)
    SELECT id, pack_digest, embedding
    FROM target
    ON CONFLICT (celebrity_id, pack_digest) DO UPDATE SET embedding = excluded.embedding
),
switched AS (
    UPDATE celebrities
    SET embedding = target.spare, pack_digest = $1
    FROM target
    WHERE celebrities.id = target.id
    RETURNING 1
)
SELECT
    (SELECT id FROM batch ORDER BY id DESC LIMIT 1) AS last,
    (SELECT count(*) FROM switched) AS switched;

-- name: drop_spare_embeddings
-- Removes those of the pack $1; returns how many of faces and of celebrities.
WITH of_faces AS (
    DELETE FROM spare_face_embeddings WHERE pack_digest = $1 RETURNING 1
),
of_celebrities AS (
    DELETE FROM spare_celebrity_embeddings WHERE pack_digest = $1 RETURNING 1
)
SELECT (SELECT count(*) FROM of_faces) AS faces, (SELECT count(*) FROM of_celebrities) AS celebrities;
