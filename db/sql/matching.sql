-- name: probe_face
-- The face $1 and its user, with the embedding that serves.
SELECT
    image_path, school, profiles.gender, serving.pack_digest, stored.embedding, geometry_ratios, age, symmetry_score,
    skin_tone_lab, expression
FROM faces
JOIN profiles ON profiles.id = faces.profile_id
JOIN faces_in_force AS serving ON serving.face_id = faces.id
LEFT JOIN face_embeddings AS stored ON stored.face_id = faces.id AND stored.pack_digest = serving.pack_digest
WHERE faces.id = $1;

-- name: match_users
-- Stores the best matches of the face $1 with faces of other users: $2 least quality, $3 weights, $4 threshold,
-- $5 how many, $6 pack digest. A pair stored with the same factors and pack is not written, so that nobody is notified of
-- it again. Pairs are written in their order, so that match jobs with pairs in common cannot deadlock.
WITH probe AS MATERIALIZED (
    SELECT face_traits.*, profiles.school_key, profiles.gender
    FROM face_traits_by($6) AS face_traits
    JOIN profiles ON profiles.id = profile_id
    WHERE face_traits.id = $1 AND profile_type = 'user'
),
target AS MATERIALIZED (
    SELECT face_traits.*
    FROM probe
    JOIN profiles ON profiles.school_key = probe.school_key
    JOIN face_traits_by($6) AS face_traits ON face_traits.profile_id = profiles.id
    WHERE profiles.profile_type = 'user'
        AND profiles.gender <> probe.gender
        AND profiles.id <> probe.profile_id
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
        factor_symmetry, factor_skin_tone, factor_expression, weights, pack_digest
    )
    SELECT
        least(id, $1), greatest(id, $1), score, embedding, geometry, age, symmetry, skin_tone, expression,
        $3::jsonb, $6
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
        weights = excluded.weights,
        pack_digest = excluded.pack_digest
    WHERE matches.pack_digest IS DISTINCT FROM excluded.pack_digest OR match_differs(
        matches.weights, matches.factor_embedding, matches.factor_geometry,
        matches.factor_age, matches.factor_symmetry, matches.factor_skin_tone,
        matches.factor_expression,
        excluded.weights, excluded.factor_embedding, excluded.factor_geometry, excluded.factor_age,
        excluded.factor_symmetry, excluded.factor_skin_tone, excluded.factor_expression
    )
)
SELECT count(*) FROM best;

-- name: match_celebrities
-- Makes the best of the celebrities $7 the matches of the face $1: $2 least quality, $3 weights, $4 threshold,
-- $5 how many, $6 pack digest. A person is matched once, by the best photo. Stored matches that are not among them are
-- removed; those that have not changed are not written.
WITH probe AS MATERIALIZED (
    SELECT face_traits.*, profiles.gender
    FROM face_traits_by($6) AS face_traits
    JOIN profiles ON profiles.id = profile_id
    WHERE face_traits.id = $1
),
target AS MATERIALIZED (
    SELECT celebrity_traits.*
    FROM probe
    CROSS JOIN celebrity_traits_by($6) AS celebrity_traits
    WHERE celebrity_traits.id = ANY($7::uuid[])
        AND may_match_celebrity(probe.gender, celebrity_traits.gender)
        AND celebrity_traits.quality >= $2
),
factor AS MATERIALIZED (
    SELECT
        target.id,
        target.person,
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
photo AS (
    SELECT DISTINCT ON (person) *
    FROM scored
    WHERE score >= $4
    ORDER BY person, score DESC, id
),
best AS MATERIALIZED (
    SELECT *
    FROM photo
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
        factor_symmetry, factor_skin_tone, factor_expression, weights, pack_digest
    )
    SELECT
        $1, id, score, embedding, geometry, age, symmetry, skin_tone, expression, $3::jsonb, $6
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
        weights = excluded.weights,
        pack_digest = excluded.pack_digest
    WHERE celebrity_matches.pack_digest IS DISTINCT FROM excluded.pack_digest OR match_differs(
        celebrity_matches.weights, celebrity_matches.factor_embedding, celebrity_matches.factor_geometry,
        celebrity_matches.factor_age, celebrity_matches.factor_symmetry, celebrity_matches.factor_skin_tone,
        celebrity_matches.factor_expression,
        excluded.weights, excluded.factor_embedding, excluded.factor_geometry, excluded.factor_age,
        excluded.factor_symmetry, excluded.factor_skin_tone, excluded.factor_expression
    )
)
SELECT count(*) FROM best;

-- name: complete_face
-- Completes the face $1, which was stored with its photo alone. Changes nothing if it is complete.
UPDATE faces
SET embedding = $2, pack_digest = $3, age = $4, quality_score = $5, blur_score = $6,
    illumination_score = $7, symmetry_score = $8, landmarks_68 = $9, pose = $10, geometry_ratios = $11,
    skin_tone_lab = $12, expression = $13, expression_confidence = $14, emotion_scores = $15,
    analyzed_at = $16, gender = $17
WHERE id = $1 AND embedding IS NULL;
