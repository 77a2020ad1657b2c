-- People of the gallery. A celebrity is a photo of one; a person with several is shown once, by the best of them.
CREATE TABLE people (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    bio text,
    category text,
    gender text CHECK (gender IN ('male', 'female')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- What photos of the same person have in common unless something else is said: name and category, without regard to
-- case and spaces.
CREATE FUNCTION person_key(name text, category text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN fold_school(name) || E'\x1f' || fold_school(coalesce(category, ''));

CREATE INDEX idx_people_key ON people (person_key(name, category), created_at, id);

CREATE TRIGGER people_updated_at BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION set_updated_at();

-- The person whom photos of this name and category show where nobody else is said to be it; its id follows from both,
-- so that two writers do not make two. A photo without a known name shows a person of its own, called `alone`.
CREATE FUNCTION person_of(name text, category text, alone uuid) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = ''
    RETURN CASE
        WHEN public.fold_school(name) = 'unknown' THEN alone
        ELSE md5(public.person_key(name, category))::uuid
    END;

-- The person whom a new photo of this name and category shows: the first one so called, or else one to be made.
CREATE FUNCTION person_called(name text, category text, alone uuid) RETURNS uuid
    LANGUAGE sql STABLE SET search_path = ''
    AS $$
        SELECT coalesce(
            (
                SELECT people.id
                FROM public.people
                WHERE public.person_key(people.name, people.category) = public.person_key($1, $2)
                    AND public.fold_school($1) <> 'unknown'
                ORDER BY people.created_at, people.id
                LIMIT 1
            ),
            public.person_of($1, $2, $3)
        )
    $$;

INSERT INTO people (id, name, bio, category, gender, created_at)
SELECT DISTINCT ON (person_of(name, category, id))
    person_of(name, category, id), name, bio, category, gender, created_at
FROM celebrities
ORDER BY person_of(name, category, id), (bio IS NULL)::integer + (gender IS NULL)::integer, created_at, id;

-- The new type is the old one, but so the rows are written once and the indexes built once, not row by row. Null only
-- in a database that is being adopted: such a celebrity stands alone.
ALTER TABLE celebrities ADD COLUMN person_id uuid;
ALTER TABLE celebrities ALTER COLUMN person_id TYPE uuid USING person_of(name, category, id);
ALTER TABLE celebrities
    ADD CONSTRAINT celebrities_person_id_fkey FOREIGN KEY (person_id) REFERENCES people (id);
CREATE INDEX idx_celebrities_person_id ON celebrities (person_id, quality_score DESC NULLS LAST, id);

CREATE FUNCTION assign_person() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    IF NEW.person_id IS NULL THEN
        -- The same picture again: the row will not be stored, so nobody is made for it.
        SELECT person_id INTO NEW.person_id
        FROM public.celebrities
        WHERE id = NEW.id OR image_hash = NEW.image_hash
        LIMIT 1;
        IF FOUND THEN
            RETURN NEW;
        END IF;
        NEW.person_id := public.person_called(NEW.name, NEW.category, NEW.id);
    END IF;
    INSERT INTO public.people (id, name, bio, category, gender)
    VALUES (NEW.person_id, NEW.name, NEW.bio, NEW.category, NEW.gender)
    ON CONFLICT (id) DO NOTHING;
    RETURN NEW;
END
$$;

CREATE TRIGGER celebrities_assign_person BEFORE INSERT ON celebrities
    FOR EACH ROW EXECUTE FUNCTION assign_person();

CREATE OR REPLACE VIEW celebrity_traits WITH (security_invoker = true) AS
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
        ) - 1)::smallint AS expression,
        coalesce(person_id, id) AS person
    FROM celebrities;

ALTER TABLE people ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON people FROM authenticated, anon;
REVOKE EXECUTE ON FUNCTION
    person_key(text, text), person_of(text, text, uuid), person_called(text, text, uuid), assign_person()
    FROM PUBLIC, authenticated, anon;
GRANT EXECUTE ON FUNCTION person_key(text, text), person_of(text, text, uuid), person_called(text, text, uuid)
    TO semblance_service;
GRANT SELECT, INSERT ON people TO semblance_service;
CREATE POLICY people_service ON people TO semblance_service USING (true) WITH CHECK (true);

-- As before, with each person once.
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
