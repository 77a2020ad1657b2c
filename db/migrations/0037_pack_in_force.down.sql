-- Faces and celebrities are served by the packs in their own rows again.
CREATE OR REPLACE FUNCTION pack_of_faces() RETURNS text
    LANGUAGE sql STABLE
    RETURN CASE
        WHEN (SELECT min(pack_digest) = max(pack_digest) FROM faces) THEN (SELECT min(pack_digest) FROM faces)
        ELSE (
            SELECT pack_digest FROM faces WHERE pack_digest IS NOT NULL
            GROUP BY pack_digest ORDER BY count(*) DESC, pack_digest LIMIT 1
        )
    END;

CREATE OR REPLACE FUNCTION pack_of_celebrities() RETURNS text
    LANGUAGE sql STABLE
    RETURN CASE
        WHEN (SELECT min(pack_digest) = max(pack_digest) FROM celebrities)
            THEN (SELECT min(pack_digest) FROM celebrities)
        ELSE (
            SELECT pack_digest FROM celebrities WHERE pack_digest IS NOT NULL
            GROUP BY pack_digest ORDER BY count(*) DESC, pack_digest LIMIT 1
        )
    END;

CREATE OR REPLACE FUNCTION find_own_similar_faces(
    query_embedding vector, match_threshold float8, match_count integer, exclude_profile_id uuid
) RETURNS TABLE (
    face_id uuid, profile_id uuid, similarity float8, image_path text, profile_name text, profile_type text
)
    LANGUAGE sql STABLE SECURITY DEFINER
    BEGIN ATOMIC
        SELECT own.id, own.profile_id, 1 - own.distance, faces.image_path, profiles.name, profiles.profile_type
        FROM (
            SELECT id, face_traits.profile_id, embedding_distance(embedding, query_embedding) AS distance
            FROM face_traits
            WHERE face_traits.profile_id = auth.uid()
                AND (exclude_profile_id IS NULL OR face_traits.profile_id <> exclude_profile_id)
                AND pack_digest = (SELECT pack_of_faces())
                AND quality >= least_quality()
        ) AS own
        JOIN faces ON faces.id = own.id
        JOIN profiles ON profiles.id = own.profile_id
        WHERE 1 - nullif(own.distance, 'NaN') >= match_threshold
        ORDER BY own.distance, own.id
        LIMIT least(match_count, 1000);
    END;

CREATE OR REPLACE FUNCTION find_similar_faces(
    query_embedding vector, match_threshold float8 DEFAULT 0.5, match_count integer DEFAULT 20,
    exclude_profile_id uuid DEFAULT NULL
) RETURNS TABLE (
    face_id uuid, profile_id uuid, similarity float8, image_path text, profile_name text, profile_type text
)
    LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = '' SET plan_cache_mode = force_custom_plan
    AS $$
#variable_conflict use_column
DECLARE
    pack text;
BEGIN
    IF NOT has_column_privilege('public.faces', 'embedding', 'SELECT') THEN
        RETURN QUERY SELECT * FROM public.find_own_similar_faces(
            query_embedding, match_threshold, match_count, exclude_profile_id
        );
        RETURN;
    END IF;
    pack := public.pack_of_faces();
    -- For the rest of the transaction; as in db/nearest.py.
    PERFORM set_config('hnsw.ef_search', '600', true), set_config('hnsw.iterative_scan', 'strict_order', true);
    RETURN QUERY
        SELECT near.id, near.profile_id, 1 - near.distance, faces.image_path, profiles.name, profiles.profile_type
        FROM (
            SELECT id, profile_id, public.embedding_distance(embedding, query_embedding) AS distance
            FROM public.face_traits
            WHERE pack_digest = pack
                AND quality >= public.least_quality()
                AND (exclude_profile_id IS NULL OR profile_id <> exclude_profile_id)
            ORDER BY public.embedding_distance(embedding, query_embedding)
            LIMIT least(match_count, 1000)
        ) AS near
        JOIN public.faces ON faces.id = near.id
        JOIN public.profiles ON profiles.id = near.profile_id
        WHERE 1 - nullif(near.distance, 'NaN') >= match_threshold
        ORDER BY near.distance, near.id;
END
$$;

CREATE OR REPLACE FUNCTION find_similar_faces_filtered(
    query_embedding vector, user_school text, user_gender text, match_threshold float8 DEFAULT 0.5,
    match_count integer DEFAULT 20, exclude_profile_id uuid DEFAULT NULL
) RETURNS TABLE (
    face_id uuid, profile_id uuid, similarity float8, image_path text, profile_name text, profile_type text
)
    LANGUAGE sql STABLE SECURITY INVOKER
    BEGIN ATOMIC
        WITH target AS MATERIALIZED (
            SELECT
                face_traits.id, face_traits.profile_id, profiles.name, profiles.profile_type,
                embedding_distance(embedding, query_embedding) AS distance
            FROM profiles
            JOIN face_traits ON face_traits.profile_id = profiles.id
            WHERE profiles.profile_type = 'user'
                AND school_key = school_key_of(user_school)
                AND gender <> user_gender
                AND (exclude_profile_id IS NULL OR profiles.id <> exclude_profile_id)
                AND pack_digest = (SELECT pack_of_faces())
                AND quality >= least_quality()
        )
        SELECT
            target.id, target.profile_id, 1 - distance, faces.image_path, target.name, target.profile_type
        FROM target
        JOIN faces ON faces.id = target.id
        WHERE 1 - nullif(distance, 'NaN') >= match_threshold
        ORDER BY distance, target.id
        LIMIT least(match_count, 1000);
    END;

CREATE OR REPLACE FUNCTION find_celebrity_matches(query_embedding vector, match_count integer DEFAULT 10)
    RETURNS TABLE (face_id uuid, celebrity_name text, similarity float8, image_path text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET plan_cache_mode = force_custom_plan
    AS $$
#variable_conflict use_column
DECLARE
    pack text := public.pack_of_celebrities();
    people integer := least(match_count, 1000);
    photos integer;
    found uuid[];
BEGIN
    PERFORM set_config('hnsw.ef_search', '600', true), set_config('hnsw.iterative_scan', 'strict_order', true);
    -- The nearest photos, and more of them if those show too few people, in the end all.
    FOREACH photos IN ARRAY ARRAY[4 * people, 1000, NULL] LOOP
        found := ARRAY(
            SELECT id
            FROM (
                SELECT DISTINCT ON (person) id, distance
                FROM (
                    SELECT id, person, public.embedding_distance(embedding, query_embedding) AS distance
                    FROM public.celebrity_traits
                    WHERE pack_digest = pack AND quality >= public.least_quality()
                    ORDER BY public.embedding_distance(embedding, query_embedding)
                    LIMIT photos
                ) AS nearest
                ORDER BY person, distance, id
            ) AS best
            ORDER BY distance, id
            LIMIT people
        );
        EXIT WHEN cardinality(found) >= people;
    END LOOP;
    RETURN QUERY
        SELECT near.id, celebrities.name, 1 - near.distance, celebrities.image_path
        FROM (
            SELECT id, public.embedding_distance(embedding, query_embedding) AS distance
            FROM public.celebrities
            WHERE id = ANY (found)
        ) AS near
        JOIN public.celebrities ON celebrities.id = near.id
        WHERE near.distance <> 'NaN'
        ORDER BY near.distance, near.id;
END
$$;

CREATE OR REPLACE FUNCTION calculate_advanced_similarity(face_a_id uuid, face_b_id uuid)
    RETURNS TABLE (
        similarity_score float8, factor_embedding float8, factor_geometry float8, factor_age float8,
        factor_symmetry float8, factor_skin_tone float8, factor_expression float8
    )
    LANGUAGE sql STABLE SECURITY INVOKER
    BEGIN ATOMIC
        SELECT
            match_score(embedding, geometry, age, symmetry, skin_tone, expression, value),
            embedding, geometry, age, symmetry, skin_tone, expression
        FROM (
            SELECT
                embedding_factor(a.embedding, b.embedding) AS embedding,
                geometry_factor(a.geometry, b.geometry) AS geometry,
                age_factor(a.age, b.age) AS age,
                symmetry_factor(a.symmetry, b.symmetry) AS symmetry,
                skin_tone_factor(a.skin_tone, b.skin_tone) AS skin_tone,
                expression_factor(a.expression, b.expression) AS expression
            FROM face_traits AS a
            JOIN face_traits AS b USING (pack_digest)
            WHERE a.id = face_a_id AND b.id = face_b_id
        ) AS factor
        CROSS JOIN system_settings
        WHERE key = 'matching_weights';
    END;

DROP TRIGGER spare_celebrity_embeddings_note_delete ON spare_celebrity_embeddings;
DROP TRIGGER spare_celebrity_embeddings_note_update ON spare_celebrity_embeddings;
DROP TRIGGER spare_celebrity_embeddings_note_insert ON spare_celebrity_embeddings;
DROP FUNCTION note_spare_celebrity_changes();
DROP INDEX idx_spare_celebrity_embeddings_pack_digest;
DROP INDEX idx_spare_face_embeddings_pack_digest;
DROP FUNCTION celebrity_traits_by(text);
DROP FUNCTION face_traits_by(text);
DROP VIEW faces_in_force;
DROP VIEW celebrity_embeddings;
DROP VIEW face_embeddings;
DROP TABLE pack_in_force;
