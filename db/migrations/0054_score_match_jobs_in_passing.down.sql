CREATE OR REPLACE FUNCTION match_score(
    embedding float8, geometry float8, age float8, symmetry float8, skin_tone float8, expression float8,
    weights jsonb
) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN least(1, greatest(0,
        (weights -> 'embedding')::float8 * embedding
        + (weights -> 'geometry')::float8 * geometry
        + (weights -> 'age')::float8 * age
        + (weights -> 'symmetry')::float8 * symmetry
        + (weights -> 'skin_tone')::float8 * skin_tone
        + (weights -> 'expression')::float8 * expression
    ));

CREATE OR REPLACE FUNCTION best_users(
    face uuid, pack text, least_quality float8, current_weights jsonb, threshold float8, most integer
) RETURNS TABLE (
    id uuid, score float8, embedding float8, geometry float8, age float8, symmetry float8, skin_tone float8,
    expression float8
)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
    WITH probe AS MATERIALIZED (
        SELECT face_traits.*, profiles.school_key, profiles.gender
        FROM face_traits_by(pack) AS face_traits
        JOIN profiles ON profiles.id = profile_id
        WHERE face_traits.id = face AND profile_type = 'user'
    ),
    target AS MATERIALIZED (
        SELECT face_traits.*
        FROM probe
        JOIN profiles ON profiles.school_key = probe.school_key
        JOIN face_traits_by(pack) AS face_traits ON face_traits.profile_id = profiles.id
        WHERE profiles.profile_type = 'user'
            AND profiles.gender <> probe.gender
            AND profiles.id <> probe.profile_id
            AND face_traits.quality >= least_quality
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
            match_score(embedding, geometry, age, symmetry, skin_tone, expression, current_weights) AS score
        FROM factor
    )
    SELECT id, score, embedding, geometry, age, symmetry, skin_tone, expression
    FROM scored
    WHERE score >= threshold
    ORDER BY score DESC, id
    LIMIT most;
    END;

CREATE OR REPLACE FUNCTION best_celebrities(
    face uuid, pack text, least_quality float8, current_weights jsonb, threshold float8, most integer,
    candidates uuid[]
) RETURNS TABLE (
    id uuid, score float8, embedding float8, geometry float8, age float8, symmetry float8, skin_tone float8,
    expression float8
)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
    WITH probe AS MATERIALIZED (
        SELECT face_traits.*, profiles.gender
        FROM face_traits_by(pack) AS face_traits
        JOIN profiles ON profiles.id = profile_id
        WHERE face_traits.id = face
    ),
    target AS MATERIALIZED (
        SELECT celebrity_traits.*
        FROM probe
        CROSS JOIN celebrity_traits_by(pack) AS celebrity_traits
        WHERE celebrity_traits.id = ANY (candidates)
            AND may_match_celebrity(probe.gender, celebrity_traits.gender)
            AND celebrity_traits.quality >= least_quality
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
            match_score(embedding, geometry, age, symmetry, skin_tone, expression, current_weights) AS score
        FROM factor
    ),
    photo AS (
        SELECT DISTINCT ON (person) *
        FROM scored
        WHERE score >= threshold
        ORDER BY person, score DESC, id
    )
    SELECT id, score, embedding, geometry, age, symmetry, skin_tone, expression
    FROM photo
    ORDER BY score DESC, id
    LIMIT most;
    END;

DROP FUNCTION match_score(
    float8, float8, float8, float8, float8, float8, float8, float8, float8, float8, float8, float8
);
