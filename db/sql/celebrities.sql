-- name: nearest_of_celebrities
-- Of the celebrities $6 the people nearest to a face, each by the nearest photo, with what the factors compare.
-- $1: embedding, $2: pack digest, $3: category, $4: gender, $5: limit.
WITH photo AS (
    SELECT DISTINCT ON (coalesce(person_id, id)) id, stored.embedding, stored.embedding <=> $1 AS distance
    FROM celebrities
    JOIN celebrity_embeddings AS stored ON stored.celebrity_id = id AND stored.pack_digest = $2
    WHERE id = ANY($6::uuid[])
        AND ($3::text IS NULL OR category = $3)
        AND ($4::text IS NULL OR known_gender(gender, seen_gender) = $4)
    ORDER BY coalesce(person_id, id), distance, id
),
best AS (
    SELECT *
    FROM photo
    -- An embedding of zeros is like nobody.
    WHERE distance <> 'NaN'
    ORDER BY distance, id
    LIMIT $5
)
SELECT
    id, coalesce(person_id, id) AS person_id, name, category, known_gender(gender, seen_gender) AS gender, image_path,
    1 - distance AS similarity, best.embedding, geometry_ratios, age, symmetry_score, skin_tone_lab, expression,
    landmarks_68
FROM best
JOIN celebrities USING (id)
ORDER BY distance, id;

-- name: celebrity_pack_digests
-- Whether the gallery has embeddings of the pack $1, and one digest of another pack.
SELECT
    EXISTS (SELECT FROM celebrity_embeddings WHERE pack_digest = $1) AS present,
    (SELECT pack_digest FROM celebrities WHERE pack_digest <> $1 LIMIT 1) AS other;

-- name: known_celebrity_hashes
-- Without celebrities of no gender at all, whose pictures are analyzed again.
SELECT image_hash
FROM celebrities
JOIN celebrity_embeddings AS stored ON stored.celebrity_id = id
WHERE stored.pack_digest = $1 AND image_hash IS NOT NULL AND known_gender(gender, seen_gender) IS NOT NULL;

-- name: count_celebrities
SELECT count(*)
FROM celebrities
WHERE $1::text IS NULL
    OR pack_digest = $1
    OR id IN (SELECT celebrity_id FROM spare_celebrity_embeddings AS spare WHERE spare.pack_digest = $1);

-- name: stage_celebrities
CREATE TEMPORARY TABLE staged_celebrities (LIKE celebrities INCLUDING DEFAULTS INCLUDING STORAGE)
ON COMMIT DROP;

-- name: complete_celebrities
-- Gives existing celebrities without any gender the one that was seen. Sorted, and before the merge, so that two
-- writers with rows in common wait for each other instead of deadlocking.
WITH target AS (
    SELECT celebrities.id, staged.seen_gender
    FROM staged_celebrities AS staged
    JOIN celebrities USING (image_hash)
    JOIN celebrity_embeddings AS stored
        ON stored.celebrity_id = celebrities.id AND stored.pack_digest = staged.pack_digest
    WHERE known_gender(celebrities.gender, celebrities.seen_gender) IS NULL
    ORDER BY image_hash
    FOR NO KEY UPDATE OF celebrities
)
UPDATE celebrities
SET seen_gender = target.seen_gender
FROM target
WHERE celebrities.id = target.id;

-- name: add_people_of_celebrities
-- Those whom the staged pictures show and who are not there yet. Before the merge and sorted, so that two writers
-- with people in common wait for each other instead of deadlocking.
INSERT INTO people (id, name, bio, category, gender)
SELECT DISTINCT ON (person) person, name, bio, category, gender
FROM (
    SELECT coalesce(person_id, person_called(name, category, id)) AS person, name, bio, category, gender, image_hash
    FROM staged_celebrities AS staged
    WHERE NOT EXISTS (SELECT FROM celebrities WHERE image_hash = staged.image_hash)
) AS new
ORDER BY person, image_hash
ON CONFLICT (id) DO NOTHING;

-- name: merge_celebrities
-- Sorted, so that two writers with rows in common wait for each other instead of deadlocking. Without a
-- conflict target, so that of two writers of the same row one skips it, whichever constraint it meets first.
WITH inserted AS (
    INSERT INTO celebrities (
        id, person_id, name, bio, category, gender, seen_gender, image_path, image_hash, embedding, pack_digest, age,
        quality_score, blur_score, illumination_score, symmetry_score, landmarks_68, pose,
        geometry_ratios, skin_tone_lab, expression, expression_confidence, emotion_scores, analyzed_at
    )
    SELECT
        id, person_id, name, bio, category, gender, seen_gender, image_path, image_hash, embedding, pack_digest, age,
        quality_score, blur_score, illumination_score, symmetry_score, landmarks_68, pose,
        geometry_ratios, skin_tone_lab, expression, expression_confidence, emotion_scores, analyzed_at
    FROM staged_celebrities
    ORDER BY image_hash
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM inserted;

-- name: compare_staged_celebrities
-- After the merge: how many staged pictures are stored with another pack, and how many are not stored.
SELECT
    count(*) FILTER (WHERE stored.id IS NOT NULL AND NOT EXISTS (
        SELECT FROM celebrity_embeddings AS embedded
        WHERE embedded.celebrity_id = stored.id AND embedded.pack_digest = staged.pack_digest
    )) AS other_pack,
    count(*) FILTER (WHERE stored.id IS NULL) AS lost
FROM staged_celebrities AS staged
LEFT JOIN celebrities AS stored USING (image_hash);

-- name: analyze_celebrities
ANALYZE celebrities;
