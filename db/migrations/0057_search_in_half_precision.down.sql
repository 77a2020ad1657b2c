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

DROP FUNCTION index_distance(vector, vector);
