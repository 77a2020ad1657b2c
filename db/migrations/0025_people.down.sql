CREATE OR REPLACE FUNCTION find_celebrity_matches(query_embedding vector, match_count integer DEFAULT 10)
    RETURNS TABLE (face_id uuid, celebrity_name text, similarity float8, image_path text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET plan_cache_mode = force_custom_plan
    AS $$
#variable_conflict use_column
DECLARE
    pack text := public.pack_of_celebrities();
BEGIN
    PERFORM set_config('hnsw.ef_search', '600', true), set_config('hnsw.iterative_scan', 'strict_order', true);
    RETURN QUERY
        SELECT near.id, celebrities.name, 1 - near.distance, celebrities.image_path
        FROM (
            SELECT id, public.embedding_distance(embedding, query_embedding) AS distance
            FROM public.celebrity_traits
            WHERE pack_digest = pack AND quality >= public.least_quality()
            ORDER BY public.embedding_distance(embedding, query_embedding)
            LIMIT least(match_count, 1000)
        ) AS near
        JOIN public.celebrities ON celebrities.id = near.id
        WHERE near.distance <> 'NaN'
        ORDER BY near.distance, near.id;
END
$$;

DROP VIEW celebrity_traits;
CREATE VIEW celebrity_traits WITH (security_invoker = true) AS
    SELECT
        id,
        known_gender(gender, seen_gender) AS gender,
        category,
        pack_digest,
        embedding,
        coalesce(quality_score, 0.6) AS quality,
        ARRAY[
            coalesce(geometry_ratio(geometry_ratios, 'face_width_height_ratio'), 0.75),
            coalesce(geometry_ratio(geometry_ratios, 'eye_spacing_face_width'), 0.42),
            coalesce(geometry_ratio(geometry_ratios, 'jawline_width_face_width'), 0.68),
            coalesce(geometry_ratio(geometry_ratios, 'nose_width_face_width'), 0.25)
        ] AS geometry,
        coalesce(age, 25) AS age,
        coalesce(symmetry_score, 0.75) AS symmetry,
        ARRAY[
            CASE WHEN skin_tone_lab[1] BETWEEN 0 AND 100 THEN skin_tone_lab[1] ELSE 65 END,
            CASE WHEN skin_tone_lab[2] BETWEEN -200 AND 200 THEN skin_tone_lab[2] ELSE 10 END,
            CASE WHEN skin_tone_lab[3] BETWEEN -200 AND 200 THEN skin_tone_lab[3] ELSE 20 END
        ] AS skin_tone,
        (array_position(
            ARRAY['happy', 'neutral', 'sad', 'angry', 'surprise', 'fear', 'disgust'],
            coalesce(expression, 'neutral')
        ) - 1)::smallint AS expression
    FROM celebrities;

REVOKE ALL ON celebrity_traits FROM authenticated, anon;
GRANT SELECT ON celebrity_traits TO semblance_service;

DROP TRIGGER celebrities_assign_person ON celebrities;
DROP FUNCTION assign_person();
ALTER TABLE celebrities DROP COLUMN person_id;
DROP FUNCTION person_called(text, text, uuid);
DROP FUNCTION person_of(text, text, uuid);
DROP TABLE people;
DROP FUNCTION person_key(text, text);
