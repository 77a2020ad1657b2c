-- name: probe_face
-- The face $1 and who it belongs to.
SELECT
    image_path, school, profiles.gender, pack_digest, embedding, geometry_ratios, age, symmetry_score,
    skin_tone_lab, expression
FROM faces
JOIN profiles ON profiles.id = faces.profile_id
WHERE faces.id = $1;

-- name: lock_probe_face
-- One job at a time writes matches of a face. Others may still refer to it.
SELECT pack_digest
FROM faces
WHERE id = $1
FOR NO KEY UPDATE;

-- name: match_users
-- Stores the best matches of the face $1 with faces of other users: $2 least quality, $3 weights, $4 threshold,
-- $5 how many. A pair that is stored with the same factors stays untouched, so that nobody is told of it again.
-- In the order of the pairs, so that of jobs with pairs in common none waits in a circle.
WITH probe AS MATERIALIZED (
    SELECT face_traits.*, profiles.school_key, profiles.gender
    FROM face_traits
    JOIN profiles ON profiles.id = profile_id
    WHERE face_traits.id = $1 AND profile_type = 'user'
),
target AS MATERIALIZED (
    SELECT face_traits.*
    FROM probe
    JOIN profiles ON profiles.school_key = probe.school_key
    JOIN face_traits ON face_traits.profile_id = profiles.id
    WHERE profiles.profile_type = 'user'
        AND profiles.gender <> probe.gender
        AND profiles.id <> probe.profile_id
        AND face_traits.pack_digest = probe.pack_digest
        AND face_traits.quality >= $2
),
factor AS MATERIALIZED (
    SELECT
        target.id,
        embedding_factor(probe.embedding, target.embedding) AS embedding,
        geometry_factor(probe.geometry, target.geometry) AS geometry,
        age_factor(probe.age, target.age) AS age,
        symmetry_factor(probe.symmetry, target.symmetry) AS symmetry,
        skin_tone_factor(probe.skin_tone, target.skin_tone) AS skin_tone,
        expression_factor(probe.expression, target.expression) AS expression
    FROM probe
    CROSS JOIN target
),
scored AS MATERIALIZED (
    SELECT
        factor.*,
        match_score(embedding, geometry, age, symmetry, skin_tone, expression, $3::jsonb) AS score
    FROM factor
),
best AS (
    SELECT *
    FROM scored
    WHERE score >= $4
    ORDER BY score DESC, id
    LIMIT $5
),
stored AS (
    INSERT INTO matches (
        face_a_id, face_b_id, similarity_score, factor_embedding, factor_geometry, factor_age,
        factor_symmetry, factor_skin_tone, factor_expression, weights
    )
    SELECT
        least(id, $1), greatest(id, $1), score, embedding, geometry, age, symmetry, skin_tone, expression,
        $3::jsonb
    FROM best
    ORDER BY least(id, $1), greatest(id, $1)
    ON CONFLICT (face_a_id, face_b_id) DO UPDATE SET
        similarity_score = excluded.similarity_score,
        factor_embedding = excluded.factor_embedding,
        factor_geometry = excluded.factor_geometry,
        factor_age = excluded.factor_age,
        factor_symmetry = excluded.factor_symmetry,
        factor_skin_tone = excluded.factor_skin_tone,
        factor_expression = excluded.factor_expression,
        weights = excluded.weights
    WHERE matches.weights IS DISTINCT FROM excluded.weights
        OR greatest(
            abs(matches.factor_embedding - excluded.factor_embedding),
            abs(matches.factor_geometry - excluded.factor_geometry),
            abs(matches.factor_age - excluded.factor_age),
            abs(matches.factor_symmetry - excluded.factor_symmetry),
            abs(matches.factor_skin_tone - excluded.factor_skin_tone),
            abs(matches.factor_expression - excluded.factor_expression)
        ) > 1e-6
)
SELECT count(*) FROM best;

-- name: match_celebrities
-- Makes the best of the celebrities $6 the matches of the face $1: $2 least quality, $3 weights, $4 threshold,
-- $5 how many. What was stored before and is not among them goes; what has not changed stays untouched.
WITH probe AS MATERIALIZED (
    SELECT face_traits.*, profiles.gender
    FROM face_traits
    JOIN profiles ON profiles.id = profile_id
    WHERE face_traits.id = $1
),
target AS MATERIALIZED (
    SELECT celebrity_traits.*
    FROM probe
    JOIN celebrity_traits ON celebrity_traits.pack_digest = probe.pack_digest
    WHERE celebrity_traits.id = ANY($6::uuid[])
        AND (probe.gender IS NULL OR celebrity_traits.gender <> probe.gender)
        AND celebrity_traits.quality >= $2
),
factor AS MATERIALIZED (
    SELECT
        target.id,
        embedding_factor(probe.embedding, target.embedding) AS embedding,
        geometry_factor(probe.geometry, target.geometry) AS geometry,
        age_factor(probe.age, target.age) AS age,
        symmetry_factor(probe.symmetry, target.symmetry) AS symmetry,
        skin_tone_factor(probe.skin_tone, target.skin_tone) AS skin_tone,
        expression_factor(probe.expression, target.expression) AS expression
    FROM probe
    CROSS JOIN target
),
scored AS MATERIALIZED (
    SELECT
        factor.*,
        match_score(embedding, geometry, age, symmetry, skin_tone, expression, $3::jsonb) AS score
    FROM factor
),
best AS MATERIALIZED (
    SELECT *
    FROM scored
    WHERE score >= $4
    ORDER BY score DESC, id
    LIMIT $5
),
stale AS (
    DELETE FROM celebrity_matches
    WHERE face_id = $1 AND celebrity_id NOT IN (SELECT id FROM best)
),
stored AS (
    INSERT INTO celebrity_matches (
        face_id, celebrity_id, similarity_score, factor_embedding, factor_geometry, factor_age,
        factor_symmetry, factor_skin_tone, factor_expression, weights
    )
    SELECT $1, id, score, embedding, geometry, age, symmetry, skin_tone, expression, $3::jsonb
    FROM best
    ORDER BY id
    ON CONFLICT (face_id, celebrity_id) DO UPDATE SET
        similarity_score = excluded.similarity_score,
        factor_embedding = excluded.factor_embedding,
        factor_geometry = excluded.factor_geometry,
        factor_age = excluded.factor_age,
        factor_symmetry = excluded.factor_symmetry,
        factor_skin_tone = excluded.factor_skin_tone,
        factor_expression = excluded.factor_expression,
        weights = excluded.weights
    WHERE celebrity_matches.weights IS DISTINCT FROM excluded.weights
        OR greatest(
            abs(celebrity_matches.factor_embedding - excluded.factor_embedding),
            abs(celebrity_matches.factor_geometry - excluded.factor_geometry),
            abs(celebrity_matches.factor_age - excluded.factor_age),
            abs(celebrity_matches.factor_symmetry - excluded.factor_symmetry),
            abs(celebrity_matches.factor_skin_tone - excluded.factor_skin_tone),
            abs(celebrity_matches.factor_expression - excluded.factor_expression)
        ) > 1e-6
)
SELECT count(*) FROM best;

-- name: describe_face
-- Completes the face $1, which somebody stored with its picture alone; nothing where it is complete.
UPDATE faces
SET embedding = $2, pack_digest = $3, age = $4, quality_score = $5, blur_score = $6,
    illumination_score = $7, symmetry_score = $8, landmarks_68 = $9, pose = $10, geometry_ratios = $11,
    skin_tone_lab = $12, expression = $13, expression_confidence = $14, emotion_scores = $15,
    analyzed_at = $16, gender = $17
WHERE id = $1 AND embedding IS NULL;
