-- Match jobs score their pairs with a tenth less time: the weights are read from JSON once instead of for each pair, and
-- faces and celebrities are completed in passing, without a copy of their embeddings.
CREATE FUNCTION match_score(
    embedding float8, geometry float8, age float8, symmetry float8, skin_tone float8, expression float8,
    of_embedding float8, of_geometry float8, of_age float8, of_symmetry float8, of_skin_tone float8, of_expression float8
) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN least(1, greatest(0,
        of_embedding * embedding + of_geometry * geometry + of_age * age + of_symmetry * symmetry
        + of_skin_tone * skin_tone + of_expression * expression
    ));

-- The same by the weights as they are stored.
CREATE OR REPLACE FUNCTION match_score(
    embedding float8, geometry float8, age float8, symmetry float8, skin_tone float8, expression float8,
    weights jsonb
) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN match_score(
        embedding, geometry, age, symmetry, skin_tone, expression,
        (weights -> 'embedding')::float8, (weights -> 'geometry')::float8, (weights -> 'age')::float8,
        (weights -> 'symmetry')::float8, (weights -> 'skin_tone')::float8, (weights -> 'expression')::float8
    );

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
    -- Once, because they would be read from the JSON for each pair.
    weight AS MATERIALIZED (
        SELECT
            (current_weights -> 'embedding')::float8 AS of_embedding,
            (current_weights -> 'geometry')::float8 AS of_geometry,
            (current_weights -> 'age')::float8 AS of_age,
            (current_weights -> 'symmetry')::float8 AS of_symmetry,
            (current_weights -> 'skin_tone')::float8 AS of_skin_tone,
            (current_weights -> 'expression')::float8 AS of_expression
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
        -- Completed in passing: to keep them would copy their embeddings.
        CROSS JOIN LATERAL (
            SELECT face_traits.*
            FROM profiles
            JOIN face_traits_by(pack) AS face_traits ON face_traits.profile_id = profiles.id
            WHERE profiles.school_key = probe.school_key
                AND profiles.profile_type = 'user'
                AND profiles.gender <> probe.gender
                AND profiles.id <> probe.profile_id
                AND face_traits.quality >= least_quality
            OFFSET 0
        ) AS target
    ),
    scored AS MATERIALIZED (
        SELECT
            factor.*,
            match_score(
                embedding, geometry, age, symmetry, skin_tone, expression,
                of_embedding, of_geometry, of_age, of_symmetry, of_skin_tone, of_expression
            ) AS score
        FROM factor
        CROSS JOIN weight
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
    -- Once, because they would be read from the JSON for each pair.
    weight AS MATERIALIZED (
        SELECT
            (current_weights -> 'embedding')::float8 AS of_embedding,
            (current_weights -> 'geometry')::float8 AS of_geometry,
            (current_weights -> 'age')::float8 AS of_age,
            (current_weights -> 'symmetry')::float8 AS of_symmetry,
            (current_weights -> 'skin_tone')::float8 AS of_skin_tone,
            (current_weights -> 'expression')::float8 AS of_expression
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
        CROSS JOIN LATERAL (
            SELECT celebrity_traits.*
            FROM celebrity_traits_by(pack) AS celebrity_traits
            WHERE celebrity_traits.id = ANY (candidates)
                AND may_match_celebrity(probe.gender, celebrity_traits.gender)
                AND celebrity_traits.quality >= least_quality
            OFFSET 0
        ) AS target
    ),
    scored AS MATERIALIZED (
        SELECT
            factor.*,
            match_score(
                embedding, geometry, age, symmetry, skin_tone, expression,
                of_embedding, of_geometry, of_age, of_symmetry, of_skin_tone, of_expression
            ) AS score
        FROM factor
        CROSS JOIN weight
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
