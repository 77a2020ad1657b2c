-- What people say about themselves, and the search for people of the same school by it. The search is off until an admin
-- switches it on (system_settings.profile_search), and finds only those who have written a bio.
ALTER TABLE profiles
    ADD COLUMN bio text,
    ADD CONSTRAINT profiles_bio_check CHECK (bio <> '' AND length(bio) <= 500);
-- Who can be found at a school.
CREATE INDEX idx_profiles_bio ON profiles (school_key) WHERE bio IS NOT NULL;

-- The words of each bio. A separate table: profiles are also written when somebody comes online, and each time all
-- words would be indexed again.
CREATE TABLE bio_words (
    profile_id uuid PRIMARY KEY REFERENCES profiles (id) ON DELETE CASCADE,
    words tsvector NOT NULL
);
CREATE INDEX idx_bio_words_words ON bio_words USING gin (words);

-- What each bio means, by one model or, while models change, by two. Vectors of unit length, filled up with zeros if the
-- model's are shorter. Only vectors of one model can be compared.
CREATE TABLE bio_vectors (
    profile_id uuid NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    -- Digest of the text pack, or the name of a server's model.
    model text NOT NULL CHECK (model <> ''),
    embedding vector(384) STORAGE PLAIN NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (profile_id, model)
);
CREATE INDEX idx_bio_vectors_embedding ON bio_vectors
    USING hnsw (embedding vector_cosine_ops) WITH (m = 16, ef_construction = 64);

-- A bio that changes loses its vectors of all models at once, so that nobody is found by what they no longer say. A
-- job makes the new one. A job that waits will read the new bio; one that is in work ends without effect.
CREATE FUNCTION index_bio() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    DELETE FROM public.bio_vectors WHERE profile_id = NEW.id;
    IF NEW.bio IS NULL THEN
        DELETE FROM public.bio_words WHERE profile_id = NEW.id;
        RETURN NULL;
    END IF;
    INSERT INTO public.bio_words (profile_id, words)
    VALUES (NEW.id, to_tsvector('pg_catalog.english', NEW.bio))
    ON CONFLICT (profile_id) DO UPDATE SET words = excluded.words;
    INSERT INTO public.inference_queue (kind, profile_id)
    SELECT 'embed', NEW.id
    WHERE EXISTS (SELECT FROM public.system_settings WHERE key = 'profile_search' AND value = 'true')
        AND NOT EXISTS (
            SELECT
            FROM public.inference_queue
            WHERE profile_id = NEW.id AND kind = 'embed' AND status = 'pending'
        );
    RETURN NULL;
END
$$;

CREATE TRIGGER profiles_index_bio AFTER UPDATE OF bio ON profiles
    FOR EACH ROW WHEN (OLD.bio IS DISTINCT FROM NEW.bio) EXECUTE FUNCTION index_bio();
CREATE TRIGGER profiles_index_new_bio AFTER INSERT ON profiles
    FOR EACH ROW WHEN (NEW.bio IS NOT NULL) EXECUTE FUNCTION index_bio();

-- What attempts that failed have used; the log of the job counts it with what the last one used.
ALTER TABLE inference_queue
    ADD COLUMN tokens_in integer NOT NULL DEFAULT 0 CHECK (tokens_in >= 0),
    ADD COLUMN tokens_out integer NOT NULL DEFAULT 0 CHECK (tokens_out >= 0);

ALTER TABLE bio_words ENABLE ROW LEVEL SECURITY;
ALTER TABLE bio_vectors ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON bio_words, bio_vectors FROM authenticated, anon;
REVOKE EXECUTE ON FUNCTION index_bio() FROM PUBLIC, authenticated, anon;
GRANT UPDATE (bio) ON profiles TO semblance_service;
GRANT SELECT ON bio_words TO semblance_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON bio_vectors TO semblance_service;
CREATE POLICY bio_words_service ON bio_words TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY bio_vectors_service ON bio_vectors TO semblance_service USING (true) WITH CHECK (true);

CREATE OR REPLACE FUNCTION valid_setting(key text, value jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = ''
    AS $$
        SELECT CASE key
            WHEN 'matching_weights' THEN
                CASE WHEN jsonb_typeof(value) = 'object' THEN (
                    SELECT coalesce(
                        count(*) = 6
                        AND bool_and(
                            name IN ('embedding', 'geometry', 'age', 'symmetry', 'skin_tone', 'expression')
                            AND weight BETWEEN 0 AND 1
                        )
                        AND abs(sum(weight) - 1) <= 0.001,
                        false
                    )
                    FROM (
                        SELECT entry.key AS name,
                            CASE jsonb_typeof(entry.value) WHEN 'number' THEN entry.value::numeric END AS weight
                        FROM jsonb_each(value) AS entry
                    ) AS weights
                ) ELSE false END
            WHEN 'match_threshold' THEN
                CASE jsonb_typeof(value) WHEN 'number' THEN value::numeric BETWEEN 0 AND 1 ELSE false END
            WHEN 'allow_non_edu_emails' THEN jsonb_typeof(value) = 'boolean'
            WHEN 'text_generation' THEN jsonb_typeof(value) = 'boolean'
            WHEN 'profile_search' THEN jsonb_typeof(value) = 'boolean'
            WHEN 'daily_photo_upload_limit' THEN
                CASE jsonb_typeof(value)
                    WHEN 'number' THEN value::numeric >= -1 AND value::numeric % 1 = 0
                    ELSE false
                END
            WHEN 'daily_baby_generation_limit' THEN
                CASE jsonb_typeof(value)
                    WHEN 'number' THEN value::numeric >= -1 AND value::numeric % 1 = 0
                    ELSE false
                END
            ELSE true
        END
    $$;

INSERT INTO system_settings (key, value, description) VALUES
    ('profile_search', 'false', 'Whether people find others of their school by what these say about themselves.')
ON CONFLICT (key) DO NOTHING;
