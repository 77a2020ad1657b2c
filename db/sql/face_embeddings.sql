-- name: stage_face_embeddings
CREATE TEMPORARY TABLE staged_face_embeddings (
    face_id uuid PRIMARY KEY,
    embedding vector(512) NOT NULL
) ON COMMIT DROP;

-- name: fill_face_embeddings
-- Sorted, so that two writers wait for each other instead of deadlocking. Embeddings that are there stay.
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
-- After the fill: faces whose stored embedding is another one, and ids that no face has.
SELECT
    staged.face_id,
    CASE
        WHEN faces.id IS NULL THEN 'unknown face'
        WHEN faces.pack_digest <> $1 THEN 'another pack'
        ELSE 'another embedding'
    END AS reason
FROM staged_face_embeddings AS staged
LEFT JOIN faces ON faces.id = staged.face_id
WHERE faces.id IS NULL OR faces.pack_digest <> $1 OR faces.embedding <=> staged.embedding > 1e-4;

-- name: count_face_embeddings
SELECT count(*) AS total, count(embedding) AS embedded FROM faces;
