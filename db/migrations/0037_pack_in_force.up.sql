-- A change of packs without moving a row: a row in the table of faces or celebrities may have an embedding by one pack,
-- and spare ones by others. Every search finds those of its own pack wherever they are, and one row says by which pack
-- stored faces are matched.
CREATE TABLE pack_in_force (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    pack_digest text NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);

-- Every embedding of every pack; null where a row has none yet. Without conditions, so that the planner looks into each
-- table by its key.
CREATE VIEW face_embeddings WITH (security_invoker = true) AS
    SELECT id AS face_id, pack_digest, embedding FROM faces
    UNION ALL
    SELECT face_id, pack_digest, embedding FROM spare_face_embeddings;

CREATE VIEW celebrity_embeddings WITH (security_invoker = true) AS
    SELECT id AS celebrity_id, pack_digest, embedding FROM celebrities
    UNION ALL
    SELECT celebrity_id, pack_digest, embedding FROM spare_celebrity_embeddings;

-- The pack by which each face is matched: the one in force where the face has an embedding of it, else the face's own.
CREATE VIEW faces_in_force WITH (security_invoker = true) AS
    SELECT faces.id AS face_id, coalesce(spare.pack_digest, faces.pack_digest) AS pack_digest
    FROM faces
    LEFT JOIN spare_face_embeddings AS spare
        ON spare.face_id = faces.id AND spare.pack_digest = (SELECT pack_digest FROM pack_in_force);

-- What is compared in the faces that have an embedding of a pack, with that embedding. Inlined into the calling query.
CREATE FUNCTION face_traits_by(pack text) RETURNS TABLE (
    id uuid, profile_id uuid, pack_digest text, embedding vector, quality float8, geometry float8[], age integer,
    symmetry float8, skin_tone float8[], expression smallint
)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
        SELECT
            own.id, own.profile_id, pack,
            CASE WHEN own.pack_digest = pack THEN own.embedding ELSE spare.embedding END,
            quality, geometry, age, symmetry, skin_tone, expression
        FROM face_traits AS own
        LEFT JOIN spare_face_embeddings AS spare ON spare.face_id = own.id AND spare.pack_digest = pack
        WHERE own.pack_digest = pack OR spare.face_id IS NOT NULL;
    END;

CREATE FUNCTION celebrity_traits_by(pack text) RETURNS TABLE (
    id uuid, gender text, category text, pack_digest text, embedding vector, quality float8, geometry float8[],
    age integer, symmetry float8, skin_tone float8[], expression smallint, person uuid
)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
        SELECT
            own.id, gender, category, pack,
            CASE WHEN own.pack_digest = pack THEN own.embedding ELSE spare.embedding END,
            quality, geometry, age, symmetry, skin_tone, expression, person
        FROM celebrity_traits AS own
        LEFT JOIN spare_celebrity_embeddings AS spare ON spare.celebrity_id = own.id AND spare.pack_digest = pack
        WHERE own.pack_digest = pack OR spare.celebrity_id IS NOT NULL;
    END;

-- For searches by a pack that has few spare embeddings or none, and for removing those of a pack. The vector index of a
-- pack's spare embeddings is built before the pack comes into force.
CREATE INDEX idx_spare_face_embeddings_pack_digest ON spare_face_embeddings (pack_digest, face_id);
CREATE INDEX idx_spare_celebrity_embeddings_pack_digest ON spare_celebrity_embeddings (pack_digest, celebrity_id);

-- Galleries in memory follow spare embeddings, too.
CREATE FUNCTION note_spare_celebrity_changes() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    INSERT INTO public.celebrity_changes (celebrity_id) SELECT celebrity_id FROM changed;
    RETURN NULL;
END
$$;

CREATE TRIGGER spare_celebrity_embeddings_note_insert AFTER INSERT ON spare_celebrity_embeddings
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_spare_celebrity_changes();
CREATE TRIGGER spare_celebrity_embeddings_note_update AFTER UPDATE ON spare_celebrity_embeddings
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_spare_celebrity_changes();
CREATE TRIGGER spare_celebrity_embeddings_note_delete AFTER DELETE ON spare_celebrity_embeddings
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_spare_celebrity_changes();

-- The pack in force is also the one that a client's embedding is taken to be from; without one, as before, the pack of
-- most embeddings.
CREATE OR REPLACE FUNCTION pack_of_faces() RETURNS text
    LANGUAGE sql STABLE
    RETURN coalesce((SELECT pack_digest FROM pack_in_force), CASE
        WHEN (SELECT min(pack_digest) = max(pack_digest) FROM faces) THEN (SELECT min(pack_digest) FROM faces)
        ELSE (
            SELECT pack_digest FROM faces WHERE pack_digest IS NOT NULL
            GROUP BY pack_digest ORDER BY count(*) DESC, pack_digest LIMIT 1
        )
    END);

CREATE OR REPLACE FUNCTION pack_of_celebrities() RETURNS text
    LANGUAGE sql STABLE
    RETURN coalesce((SELECT pack_digest FROM pack_in_force), CASE
        WHEN (SELECT min(pack_digest) = max(pack_digest) FROM celebrities)
            THEN (SELECT min(pack_digest) FROM celebrities)
        ELSE (
            SELECT pack_digest FROM celebrities WHERE pack_digest IS NOT NULL
            GROUP BY pack_digest ORDER BY count(*) DESC, pack_digest LIMIT 1
        )
    END);

CREATE OR REPLACE FUNCTION find_own_similar_faces(
    query_embedding vector, match_threshold float8, match_count integer, exclude_profile_id uuid
) RETURNS TABLE (
    face_id uuid, profile_id uuid, similarity float8, image_path text, profile_name text, profile_type text
)
    LANGUAGE sql STABLE SECURITY DEFINER
    BEGIN ATOMIC
        SELECT own.id, own.profile_id, 1 - own.distance, faces.image_path, profiles.name, profiles.profile_type
        FROM (
            SELECT traits.id, traits.profile_id, embedding_distance(stored.embedding, query_embedding) AS distance
            FROM face_traits AS traits
            JOIN face_embeddings AS stored
                ON stored.face_id = traits.id AND stored.pack_digest = (SELECT pack_of_faces())
            WHERE traits.profile_id = auth.uid()
                AND (exclude_profile_id IS NULL OR traits.profile_id <> exclude_profile_id)
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
            (
                SELECT id, profile_id, public.embedding_distance(embedding, query_embedding) AS distance
                FROM public.face_traits
                WHERE pack_digest = pack
                    AND quality >= public.least_quality()
                    AND (exclude_profile_id IS NULL OR profile_id <> exclude_profile_id)
                ORDER BY public.embedding_distance(embedding, query_embedding)
                LIMIT least(match_count, 1000)
            )
            UNION ALL
            (
                SELECT id, profile_id, public.embedding_distance(spare.embedding, query_embedding)
                FROM public.spare_face_embeddings AS spare
                JOIN public.face_traits ON id = spare.face_id
                WHERE spare.pack_digest = pack
                    AND quality >= public.least_quality()
                    AND (exclude_profile_id IS NULL OR profile_id <> exclude_profile_id)
                ORDER BY public.embedding_distance(spare.embedding, query_embedding)
                LIMIT least(match_count, 1000)
            )
        ) AS near
        JOIN public.faces ON faces.id = near.id
        JOIN public.profiles ON profiles.id = near.profile_id
        WHERE 1 - nullif(near.distance, 'NaN') >= match_threshold
        ORDER BY near.distance, near.id
        LIMIT least(match_count, 1000);
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
                traits.id, traits.profile_id, profiles.name, profiles.profile_type,
                embedding_distance(stored.embedding, query_embedding) AS distance
            FROM profiles
            JOIN face_traits AS traits ON traits.profile_id = profiles.id
            JOIN face_embeddings AS stored
                ON stored.face_id = traits.id AND stored.pack_digest = (SELECT pack_of_faces())
            WHERE profiles.profile_type = 'user'
                AND school_key = school_key_of(user_school)
                AND gender <> user_gender
                AND (exclude_profile_id IS NULL OR profiles.id <> exclude_profile_id)
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
                    (
                        SELECT id, person, public.embedding_distance(embedding, query_embedding) AS distance
                        FROM public.celebrity_traits
                        WHERE pack_digest = pack AND quality >= public.least_quality()
                        ORDER BY public.embedding_distance(embedding, query_embedding)
                        LIMIT photos
                    )
                    UNION ALL
                    (
                        SELECT id, person, public.embedding_distance(spare.embedding, query_embedding)
                        FROM public.spare_celebrity_embeddings AS spare
                        JOIN public.celebrity_traits ON id = spare.celebrity_id
                        WHERE spare.pack_digest = pack AND quality >= public.least_quality()
                        ORDER BY public.embedding_distance(spare.embedding, query_embedding)
                        LIMIT photos
                    )
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
            SELECT celebrity_id AS id, public.embedding_distance(embedding, query_embedding) AS distance
            FROM public.celebrity_embeddings
            WHERE celebrity_id = ANY (found) AND pack_digest = pack
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
            FROM faces_in_force AS serving
            JOIN LATERAL face_traits_by(serving.pack_digest) AS a ON a.id = serving.face_id
            JOIN LATERAL face_traits_by(serving.pack_digest) AS b ON b.id = face_b_id
            WHERE serving.face_id = face_a_id
        ) AS factor
        CROSS JOIN system_settings
        WHERE key = 'matching_weights';
    END;

-- Only the owner changes which pack is in force.
ALTER TABLE pack_in_force ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON pack_in_force, face_embeddings, celebrity_embeddings, faces_in_force FROM authenticated, anon;
REVOKE EXECUTE ON FUNCTION face_traits_by(text), celebrity_traits_by(text), note_spare_celebrity_changes()
    FROM PUBLIC, authenticated, anon;
GRANT SELECT ON pack_in_force, face_embeddings, celebrity_embeddings, faces_in_force TO semblance_service;
GRANT EXECUTE ON FUNCTION face_traits_by(text), celebrity_traits_by(text) TO semblance_service;
CREATE POLICY pack_in_force_service ON pack_in_force FOR SELECT TO semblance_service USING (true);
