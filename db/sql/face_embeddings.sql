-- name: stage_face_embeddings
CREATE TEMPORARY TABLE staged_face_embeddings (
    face_id uuid PRIMARY KEY,
    embedding vector(512) NOT NULL
) ON COMMIT DROP;

-- name: faces_of_points
-- $1: ids of points as text. The old app's table has a column with the id of each face's point. Without it,
-- its name refers to the first table here, and nothing is found.
SELECT linked.point, linked.id AS face_id
FROM (SELECT NULL::text AS qdrant_point_id) AS without_column
CROSS JOIN LATERAL (SELECT id, qdrant_point_id::text AS point FROM faces) AS linked
WHERE linked.point = ANY($1);

-- name: stage_new_faces
CREATE TEMPORARY TABLE staged_new_faces (
    face_id uuid PRIMARY KEY,
    profile_id uuid NOT NULL,
    image_path text NOT NULL,
    image_hash text,
    created_at timestamptz
) ON COMMIT DROP;

-- name: create_faces
-- Inserts the staged faces that do not exist yet and whose profile does, with their embeddings. $1: pack digest.
WITH created AS (
    INSERT INTO faces (id, profile_id, image_path, image_hash, created_at, embedding, pack_digest)
    SELECT face_id, profile_id, image_path, image_hash, coalesce(new.created_at, now()), embedding, $1
    FROM staged_new_faces AS new
    JOIN staged_face_embeddings USING (face_id)
    JOIN profiles ON profiles.id = new.profile_id
    ORDER BY face_id
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM created;

-- name: fill_face_embeddings
-- Sorted, so that two writers wait for each other instead of deadlocking. Existing embeddings stay.
WITH target AS (
    SELECT faces.id, staged.embedding
    FROM staged_face_embeddings AS staged
    JOIN faces ON faces.id = staged.face_id
    WHERE faces.embedding IS NULL
    ORDER BY faces.id
    FOR NO KEY UPDATE OF faces
), filled AS (
    UPDATE faces
    SET embedding = target.embedding, pack_digest = $1
    FROM target
    WHERE faces.id = target.id
    RETURNING 1
)
SELECT count(*) FROM filled;

-- name: compare_staged_face_embeddings
-- After the fill: faces that have another embedding, and ids without a face.
SELECT
    staged.face_id,
    CASE
        WHEN faces.id IS NULL AND new.face_id IS NOT NULL AND profiles.id IS NULL THEN 'unknown profile'
        WHEN faces.id IS NULL AND new.face_id IS NOT NULL THEN 'its user has this picture already'
        WHEN faces.id IS NULL THEN 'unknown face'
        WHEN faces.pack_digest <> $1 THEN 'another pack'
        ELSE 'another embedding'
    END AS reason
FROM staged_face_embeddings AS staged
LEFT JOIN faces ON faces.id = staged.face_id
LEFT JOIN staged_new_faces AS new ON new.face_id = staged.face_id
LEFT JOIN profiles ON profiles.id = new.profile_id
WHERE faces.id IS NULL OR faces.pack_digest <> $1 OR faces.embedding <=> staged.embedding > 1e-4;

-- name: count_face_embeddings
SELECT count(*) AS total, count(embedding) AS embedded FROM faces;

-- name: other_pack_of_faces
-- The other pack than $1 that has embedded the most faces.
SELECT pack_digest FROM faces
WHERE embedding IS NOT NULL AND pack_digest <> $1
GROUP BY pack_digest
ORDER BY count(*) DESC
LIMIT 1;
