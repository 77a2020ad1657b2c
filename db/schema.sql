-- The whole schema, as all migrations together make it; a test holds the two equal. To read, and to make a
-- database by hand: psql -v ON_ERROR_STOP=1 -f db/schema.sql. A database made this way has no revision, so
-- `semblance migrate` would refuse it.

BEGIN;

-- Foundation -----------------------------------------------------------------------------------------
-- pgvector, auth.uid() and the roles. Supabase has most of it; elsewhere it is made here.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector') THEN
        IF EXISTS (SELECT FROM pg_namespace WHERE nspname = 'extensions') THEN
            CREATE EXTENSION vector WITH SCHEMA extensions;
        ELSE
            CREATE EXTENSION vector;
        END IF;
    END IF;
END
$$;

DO $$
BEGIN
    IF to_regprocedure('auth.uid()') IS NULL THEN
        CREATE SCHEMA IF NOT EXISTS auth;
        GRANT USAGE ON SCHEMA auth TO PUBLIC;

        -- The caller's profile: the claim `sub` of the token, as the connection's owner has set it.
        CREATE FUNCTION auth.uid() RETURNS uuid
            LANGUAGE sql STABLE SET search_path = ''
            AS $function$
                SELECT coalesce(
                    nullif(current_setting('request.jwt.claim.sub', true), ''),
                    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
                )::uuid
            $function$;
        COMMENT ON FUNCTION auth.uid() IS 'Stands in for the function of this name on Supabase.';
    END IF;
END
$$;

-- The roles of the end user, as on Supabase, and of the application. Roles belong to the whole server, so
-- another database may have made them already.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['semblance_service', 'authenticated', 'anon'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
                EXECUTE format('COMMENT ON ROLE %I IS %L', wanted, 'Made by Semblance.');
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN
                    NULL;
                WHEN insufficient_privilege THEN
                    RAISE insufficient_privilege USING MESSAGE = format(
                        'role %s is missing, and it takes CREATEROLE to run CREATE ROLE %1$s NOLOGIN', wanted
                    );
            END;
        END IF;
    END LOOP;
END
$$;

-- Tables are made in public, with pgvector in reach wherever it is installed.
SELECT set_config(
    'search_path',
    concat_ws(', ', 'public', (
        SELECT quote_ident(nspname)
        FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
        WHERE extname = 'vector'
    )),
    true
);

-- Tables ---------------------------------------------------------------------------------------------

-- Users, and celebrities who have an account. A user's id is the id of the identity provider.
CREATE TABLE profiles (
    id uuid PRIMARY KEY,
    profile_type text NOT NULL CHECK (profile_type IN ('user', 'celebrity')),
    name text,
    email text UNIQUE,
    gender text CHECK (gender IN ('male', 'female', 'other')),
    school text,
    role text NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin')),
    default_face_id uuid,
    last_seen timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- One picture of a user with its largest face. `image_hash` is the MD5 of the file: it finds the same
-- picture again and protects nothing.
--
-- Embeddings are stored PLAIN, in the row: by default PostgreSQL would move these 2 kB into a TOAST table
-- and every scan would fetch them from there one by one. A row of at most 2,712 bytes lets three of them
-- share a page of 8 kB; what makes it longer (landmarks, first of all) is compressed or moved out instead.
CREATE TABLE faces (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    profile_id uuid NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    image_path text NOT NULL,
    image_hash text,
    created_at timestamptz NOT NULL DEFAULT now(),
    embedding vector(512) STORAGE PLAIN,
    -- SHA-256 of the model pack the embedding comes from; only embeddings of one pack are comparable.
    pack_digest text,
    age integer CHECK (age BETWEEN 0 AND 150),
    gender text CHECK (gender IN ('male', 'female')),
    quality_score float8 CHECK (quality_score BETWEEN 0 AND 1),
    blur_score float8 CHECK (blur_score BETWEEN 0 AND 1),
    illumination_score float8 CHECK (illumination_score BETWEEN 0 AND 1),
    landmarks_68 jsonb,
    pose jsonb,
    geometry_ratios jsonb,
    symmetry_score float8 CHECK (symmetry_score BETWEEN 0 AND 1),
    skin_tone_lab float8[] CHECK (cardinality(skin_tone_lab) = 3),
    expression text
        CHECK (expression IN ('happy', 'neutral', 'sad', 'angry', 'surprise', 'fear', 'disgust')),
    expression_confidence float8 CHECK (expression_confidence BETWEEN 0 AND 1),
    emotion_scores jsonb CHECK (jsonb_typeof(emotion_scores) = 'object'),
    analyzed_at timestamptz,
    CONSTRAINT faces_pack_digest_check CHECK ((embedding IS NULL) = (pack_digest IS NULL)),
    CONSTRAINT faces_landmarks_68_check CHECK (
        CASE jsonb_typeof(landmarks_68)
            WHEN 'array' THEN jsonb_array_length(landmarks_68) = 68
            ELSE landmarks_68 IS NULL
        END
    ),
    CONSTRAINT faces_pose_check CHECK (
        jsonb_typeof(pose) = 'object' AND pose ?& ARRAY['yaw', 'pitch', 'roll']
    ),
    CONSTRAINT faces_geometry_ratios_check CHECK (jsonb_typeof(geometry_ratios) = 'object')
) WITH (toast_tuple_target = 2712);

ALTER TABLE profiles
    ADD CONSTRAINT profiles_default_face_id_fkey
    FOREIGN KEY (default_face_id) REFERENCES faces (id) ON DELETE SET NULL;

-- Two users whose faces are alike. A pair is stored once, whichever side found it. The six factors and the
-- weights that made the score come together; rows of the old app have none.
CREATE TABLE matches (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    face_a_id uuid NOT NULL REFERENCES faces (id) ON DELETE CASCADE,
    face_b_id uuid NOT NULL REFERENCES faces (id) ON DELETE CASCADE,
    similarity_score float8 NOT NULL CHECK (similarity_score BETWEEN 0 AND 1),
    factor_embedding float8 CHECK (factor_embedding BETWEEN 0 AND 1),
    factor_geometry float8 CHECK (factor_geometry BETWEEN 0 AND 1),
    factor_age float8 CHECK (factor_age BETWEEN 0 AND 1),
    factor_symmetry float8 CHECK (factor_symmetry BETWEEN 0 AND 1),
    factor_skin_tone float8 CHECK (factor_skin_tone BETWEEN 0 AND 1),
    factor_expression float8 CHECK (factor_expression BETWEEN 0 AND 1),
    -- As in system_settings.matching_weights.
    weights jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT matches_pair_key UNIQUE (face_a_id, face_b_id),
    CONSTRAINT matches_pair_order_check CHECK (face_a_id < face_b_id),
    CONSTRAINT matches_factors_check CHECK (
        num_nulls(
            factor_embedding, factor_geometry, factor_age, factor_symmetry, factor_skin_tone,
            factor_expression, weights
        ) IN (0, 7)
    ),
    CONSTRAINT matches_weights_check CHECK (
        weights ?& ARRAY['embedding', 'geometry', 'age', 'symmetry', 'skin_tone', 'expression']
    )
);

-- The number of matches, as the sum over all rows, because counting half a million takes longer than the rest of a
-- request for the feed. Writers of one row would wait for each other until commit, so each takes an unlocked row or
-- adds one: there are as many rows as there were ever concurrent writers.
CREATE TABLE match_counts (
    slot integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    count bigint NOT NULL
);

-- The gallery.
CREATE TABLE celebrities (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    bio text,
    category text,
    gender text CHECK (gender IN ('male', 'female')),
    image_path text NOT NULL,
    image_hash text UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    embedding vector(512) STORAGE PLAIN,
    pack_digest text,
    age integer CHECK (age BETWEEN 0 AND 150),
    quality_score float8 CHECK (quality_score BETWEEN 0 AND 1),
    blur_score float8 CHECK (blur_score BETWEEN 0 AND 1),
    illumination_score float8 CHECK (illumination_score BETWEEN 0 AND 1),
    symmetry_score float8 CHECK (symmetry_score BETWEEN 0 AND 1),
    landmarks_68 jsonb,
    pose jsonb,
    geometry_ratios jsonb,
    skin_tone_lab float8[] CHECK (cardinality(skin_tone_lab) = 3),
    expression text
        CHECK (expression IN ('happy', 'neutral', 'sad', 'angry', 'surprise', 'fear', 'disgust')),
    expression_confidence float8 CHECK (expression_confidence BETWEEN 0 AND 1),
    emotion_scores jsonb CHECK (jsonb_typeof(emotion_scores) = 'object'),
    analyzed_at timestamptz,
    CONSTRAINT celebrities_pack_digest_check CHECK ((embedding IS NULL) = (pack_digest IS NULL)),
    CONSTRAINT celebrities_landmarks_68_check CHECK (
        CASE jsonb_typeof(landmarks_68)
            WHEN 'array' THEN jsonb_array_length(landmarks_68) = 68
            ELSE landmarks_68 IS NULL
        END
    ),
    CONSTRAINT celebrities_pose_check CHECK (
        jsonb_typeof(pose) = 'object' AND pose ?& ARRAY['yaw', 'pitch', 'roll']
    ),
    CONSTRAINT celebrities_geometry_ratios_check CHECK (jsonb_typeof(geometry_ratios) = 'object')
) WITH (toast_tuple_target = 2712);

-- The gender the analyzer saw in a celebrity's picture.
ALTER TABLE celebrities ADD COLUMN seen_gender text CHECK (seen_gender IN ('male', 'female'));

-- A name of a school in the form in which names are compared: composed, lower case, one space between words.
CREATE FUNCTION fold_school(said text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = ''
    AS $$
        SELECT lower(btrim(regexp_replace(
            normalize(said, NFC), '[ \t\n\x0B\f\r\u00A0\u1680\u2000-\u200A\u202F\u205F\u3000]+', ' ', 'g'
        ), ' '))
    $$;

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

-- Null only in a database that is being adopted: such a celebrity stands alone.
ALTER TABLE celebrities ADD COLUMN person_id uuid REFERENCES people (id);

-- The gender that counts: the stated one, or else the one that was seen.
CREATE FUNCTION known_gender(stated text, seen text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(stated, seen);

CREATE TABLE celebrity_matches (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    face_id uuid NOT NULL REFERENCES faces (id) ON DELETE CASCADE,
    celebrity_id uuid NOT NULL REFERENCES celebrities (id) ON DELETE CASCADE,
    similarity_score float8 NOT NULL CHECK (similarity_score BETWEEN 0 AND 1),
    factor_embedding float8 CHECK (factor_embedding BETWEEN 0 AND 1),
    factor_geometry float8 CHECK (factor_geometry BETWEEN 0 AND 1),
    factor_age float8 CHECK (factor_age BETWEEN 0 AND 1),
    factor_symmetry float8 CHECK (factor_symmetry BETWEEN 0 AND 1),
    factor_skin_tone float8 CHECK (factor_skin_tone BETWEEN 0 AND 1),
    factor_expression float8 CHECK (factor_expression BETWEEN 0 AND 1),
    weights jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT unique_face_celebrity UNIQUE (face_id, celebrity_id),
    CONSTRAINT celebrity_matches_factors_check CHECK (
        num_nulls(
            factor_embedding, factor_geometry, factor_age, factor_symmetry, factor_skin_tone,
            factor_expression, weights
        ) IN (0, 7)
    ),
    CONSTRAINT celebrity_matches_weights_check CHECK (
        weights ?& ARRAY['embedding', 'geometry', 'age', 'symmetry', 'skin_tone', 'expression']
    )
);

CREATE TABLE reactions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_profile_id uuid NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    match_id uuid NOT NULL REFERENCES matches (id) ON DELETE CASCADE,
    reaction_type text NOT NULL CHECK (reaction_type IN ('like', 'viewed')),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT reactions_match_user_type_unique UNIQUE (match_id, user_profile_id, reaction_type)
);

-- A picture outlives the account that had it made, but not the match it shows.
CREATE TABLE babies (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    match_id uuid NOT NULL REFERENCES matches (id) ON DELETE CASCADE,
    generated_by_profile_id uuid REFERENCES profiles (id) ON DELETE SET NULL,
    image_url text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE match_jobs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    face_id uuid NOT NULL REFERENCES faces (id) ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    status text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'processing', 'completed', 'failed')),
    job_type text NOT NULL DEFAULT 'both' CHECK (job_type IN ('user_match', 'celebrity_match', 'both')),
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    max_attempts integer NOT NULL DEFAULT 3 CHECK (max_attempts >= 1),
    error_message text,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    completed_at timestamptz
);

CREATE TABLE notifications (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    type text NOT NULL CHECK (type IN ('baby_generated', 'mutual_match', 'new_message')),
    title text NOT NULL,
    message text,
    related_id uuid,
    related_type text CHECK (related_type IN ('baby', 'match', 'message', 'connection')),
    read_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE mutual_connections (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    profile_a_id uuid NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    profile_b_id uuid NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    match_id uuid NOT NULL REFERENCES matches (id) ON DELETE CASCADE,
    baby_id uuid REFERENCES babies (id) ON DELETE SET NULL,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'blocked', 'archived')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT mutual_connections_two_check CHECK (profile_a_id <> profile_b_id)
);

-- The user who blocked a connection, and who alone may unblock it. Unknown for connections that the old app blocked.
ALTER TABLE mutual_connections
    ADD COLUMN blocked_by uuid,
    ADD CONSTRAINT mutual_connections_blocked_by_check CHECK (
        blocked_by IS NULL OR (status = 'blocked' AND blocked_by IN (profile_a_id, profile_b_id))
    );

-- The connection that a notification of messages is about. Deleting it deletes the notification.
ALTER TABLE notifications
    ADD COLUMN connection_id uuid REFERENCES mutual_connections (id) ON DELETE CASCADE;

CREATE TABLE messages (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    connection_id uuid NOT NULL REFERENCES mutual_connections (id) ON DELETE CASCADE,
    sender_id uuid NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    content text NOT NULL,
    message_type text NOT NULL DEFAULT 'text' CHECK (message_type IN ('text', 'image', 'icebreaker')),
    read_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION valid_setting(key text, value jsonb) RETURNS boolean
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
            WHEN 'message_search' THEN jsonb_typeof(value) = 'boolean'
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

CREATE TABLE system_settings (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    description text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid REFERENCES profiles (id) ON DELETE SET NULL,
    CONSTRAINT system_settings_value_check CHECK (valid_setting(key, value))
);

-- How often a user has used something with a daily limit, by UTC day.
CREATE TABLE user_daily_quotas (
    profile_id uuid NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    day date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date,
    kind text NOT NULL CHECK (kind IN ('photo_upload', 'baby_generation')),
    count integer NOT NULL DEFAULT 0 CHECK (count >= 0),
    PRIMARY KEY (profile_id, day, kind)
);

-- One row per call of a picture provider, kept for statistics after its subject is deleted.
CREATE TABLE generation_logs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    profile_id uuid REFERENCES profiles (id) ON DELETE SET NULL,
    match_id uuid REFERENCES matches (id) ON DELETE SET NULL,
    baby_id uuid REFERENCES babies (id) ON DELETE SET NULL,
    provider text NOT NULL,
    model text NOT NULL,
    status text NOT NULL CHECK (status IN ('processing', 'completed', 'failed')),
    attempts integer NOT NULL DEFAULT 1 CHECK (attempts >= 1),
    duration_ms integer CHECK (duration_ms >= 0),
    error_message text,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Keys of the face-compute endpoints. Only the SHA-256 of a key is stored. A key is 256 random bits, which
-- cannot be guessed, so a slow hash as for passwords would add nothing.
CREATE TABLE api_keys (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL CHECK (name <> ''),
    -- The beginning of the key, by which its owner recognizes it.
    prefix text NOT NULL,
    hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    scopes text[] NOT NULL CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['compute', 'search', 'metrics']),
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    revoked_at timestamptz
);

-- Indexes --------------------------------------------------------------------------------------------

CREATE INDEX idx_profiles_school_gender ON profiles (school, gender) WHERE profile_type = 'user';
CREATE INDEX idx_profiles_last_seen ON profiles (last_seen);
CREATE INDEX idx_profiles_role ON profiles (role) WHERE role = 'admin';
CREATE INDEX idx_profiles_default_face_id ON profiles (default_face_id) WHERE default_face_id IS NOT NULL;

CREATE INDEX idx_faces_profile_id ON faces (profile_id);
CREATE UNIQUE INDEX ux_faces_profile_hash ON faces (profile_id, image_hash) WHERE image_hash IS NOT NULL;
CREATE INDEX idx_faces_image_hash ON faces (image_hash);
CREATE INDEX idx_faces_pack_digest ON faces (pack_digest);
-- The order is index_distance. In half precision an insert takes half the time, and the index half the space.
CREATE INDEX faces_embedding_half_idx ON faces
    USING hnsw ((l2_normalize(embedding)::halfvec(512)) halfvec_cosine_ops) WITH (m = 16, ef_construction = 64);

CREATE INDEX idx_matches_face_b_id ON matches (face_b_id);
-- The live feed, best first.
CREATE INDEX idx_matches_similarity_score ON matches (similarity_score DESC, id DESC);
-- The live feed, newest first: read by key, one index entry per row shown.
CREATE INDEX idx_matches_feed ON matches (created_at DESC, id DESC);

-- HNSW, where the old app had IVFFlat with 100 lists. IVFFlat places its lists by the rows present when
-- the index is built: on an empty table they are meaningless, and while the gallery grows recall falls until
-- it is rebuilt. HNSW is built row by row, needs no training, and finds more in less time.
CREATE INDEX celebrities_embedding_half_idx ON celebrities
    USING hnsw ((l2_normalize(embedding)::halfvec(512)) halfvec_cosine_ops) WITH (m = 16, ef_construction = 64);
CREATE INDEX idx_celebrities_pack_digest ON celebrities (pack_digest);
CREATE INDEX idx_celebrities_created_at ON celebrities (created_at DESC);
CREATE INDEX idx_celebrities_category ON celebrities (category);
CREATE INDEX idx_celebrities_gender ON celebrities (known_gender(gender, seen_gender));

CREATE INDEX idx_people_key ON people (person_key(name, category), created_at, id);
CREATE INDEX idx_celebrities_best_photo ON celebrities (person_id, quality_score DESC NULLS LAST, id)
    INCLUDE (seen_gender);

CREATE INDEX idx_celebrity_matches_celebrity_id ON celebrity_matches (celebrity_id);

CREATE INDEX idx_reactions_type ON reactions (reaction_type);
CREATE INDEX idx_reactions_user_type ON reactions (user_profile_id, reaction_type);

CREATE INDEX idx_babies_match_id ON babies (match_id);
CREATE INDEX idx_babies_generated_by ON babies (generated_by_profile_id);
CREATE INDEX idx_babies_created_at ON babies (created_at DESC);

CREATE INDEX idx_match_jobs_face_id ON match_jobs (face_id);
CREATE INDEX idx_match_jobs_user_id ON match_jobs (user_id);

CREATE INDEX idx_notifications_created_at ON notifications (created_at DESC);
-- A user has at most one unread notification of the messages of a connection.
CREATE UNIQUE INDEX ux_notifications_unread_message ON notifications (user_id, connection_id)
    WHERE type = 'new_message' AND read_at IS NULL;
CREATE INDEX idx_notifications_connection_id ON notifications (connection_id)
    WHERE connection_id IS NOT NULL;
CREATE INDEX idx_notifications_page ON notifications (user_id, created_at DESC, id DESC);

-- Two people are connected once, in either order.
CREATE UNIQUE INDEX ux_mutual_connections_pair ON mutual_connections
    (least(profile_a_id, profile_b_id), greatest(profile_a_id, profile_b_id));
CREATE INDEX idx_mutual_connections_profile_a ON mutual_connections (profile_a_id);
CREATE INDEX idx_mutual_connections_profile_b ON mutual_connections (profile_b_id);
CREATE INDEX idx_mutual_connections_match_id ON mutual_connections (match_id);
CREATE INDEX idx_mutual_connections_baby_id ON mutual_connections (baby_id) WHERE baby_id IS NOT NULL;
CREATE INDEX idx_mutual_connections_status ON mutual_connections (status);

CREATE INDEX idx_messages_sender_id ON messages (sender_id);
CREATE INDEX idx_messages_page ON messages (connection_id, created_at DESC, id DESC);
CREATE INDEX idx_messages_unread ON messages (connection_id, sender_id) WHERE read_at IS NULL;

CREATE INDEX idx_system_settings_updated_at ON system_settings (updated_at DESC);
CREATE INDEX idx_system_settings_updated_by ON system_settings (updated_by);

CREATE INDEX idx_generation_logs_created_at ON generation_logs (created_at DESC);
CREATE INDEX idx_generation_logs_profile_id ON generation_logs (profile_id);
CREATE INDEX idx_generation_logs_match_id ON generation_logs (match_id);
CREATE INDEX idx_generation_logs_baby_id ON generation_logs (baby_id);

-- Triggers -------------------------------------------------------------------------------------------
-- Functions that write for their caller run as their owner, and none searches names in a schema to which
-- others can add objects.

CREATE FUNCTION set_updated_at() RETURNS trigger
    LANGUAGE plpgsql SET search_path = ''
    AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;

CREATE TRIGGER profiles_updated_at BEFORE UPDATE ON profiles
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER celebrities_updated_at BEFORE UPDATE ON celebrities
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER people_updated_at BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER celebrity_matches_updated_at BEFORE UPDATE ON celebrity_matches
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER mutual_connections_updated_at BEFORE UPDATE ON mutual_connections
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER system_settings_updated_at BEFORE UPDATE ON system_settings
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();

-- Every new face of a user is to be matched.
CREATE FUNCTION auto_create_match_job() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    INSERT INTO public.match_jobs (face_id, user_id)
    SELECT NEW.id, profile.id
    FROM public.profiles AS profile
    WHERE profile.id = NEW.profile_id AND profile.profile_type = 'user';
    RETURN NULL;
END
$$;

CREATE TRIGGER faces_auto_create_match_job AFTER INSERT ON faces
    FOR EACH ROW EXECUTE FUNCTION auto_create_match_job();

-- Wakes the workers at commit; they read from the table what there is to do.
CREATE FUNCTION notify_match_jobs() RETURNS trigger
    LANGUAGE plpgsql SET search_path = ''
    AS $$
BEGIN
    PERFORM pg_notify('match_jobs', '');
    RETURN NULL;
END
$$;

CREATE TRIGGER match_jobs_notify AFTER INSERT ON match_jobs
    FOR EACH STATEMENT EXECUTE FUNCTION notify_match_jobs();

-- The name as it is stored, or null if it is not acceptable. The rules and their reasons are in semblance/names.py; of
-- marks that stand alone, only the common ones are known here.
CREATE FUNCTION usable_name(said text) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = ''
    AS $$
        SELECT name
        FROM (SELECT regexp_replace(
            normalize(said, NFC), '[\u00AD\u034F\u061C\u200E\u200F\u2060\uFEFF]', '', 'g'
        ) AS kept) AS dropped
        CROSS JOIN LATERAL (SELECT btrim(regexp_replace(
            btrim(kept, E' \t\n\x0B\f\r'), '[ \u00A0\u1680\u2000-\u200A\u202F\u205F\u3000]+', ' ', 'g'
        ), ' ') AS name) AS spaced
        WHERE length(name) <= 100
            AND name ~ (
                '[^ \u0300-\u036F\u0483-\u0489\u0591-\u05BD\u064B-\u065F\u1AB0-\u1AFF\u1DC0-\u1DFF\u200C\u200D'
                '\u20D0-\u20FF\uFE00-\uFE0F\uFE20-\uFE2F\U000E0100-\U000E01EF]'
            )
            -- Without the joiners that join.
            AND regexp_replace(name,
                '(?<=[\u094D\u09CD\u0A4D\u0ACD\u0B4D\u0BCD\u0C4D\u0CCD\u0D3B\u0D3C\u0D4D\u0DCA\u1039\u103A\u17D2\u1B44\u1BAA\uA9C0])[\u200C\u200D]'
                '|\u200D(?=[\u094D\u09CD\u0A4D\u0ACD\u0B4D\u0BCD\u0C4D\u0CCD\u0D3B\u0D3C\u0D4D\u0DCA\u1039\u103A\u17D2\u1B44\u1BAA\uA9C0])'
                '|(?<=[\u0600-\u08FF\u1800-\u18AF\uA840-\uA873\uFB50-\uFDFF\uFE70-\uFEFC\U0001E900-\U0001E95F])[\u200C\u200D](?=[\u0600-\u08FF\u1800-\u18AF\uA840-\uA873\uFB50-\uFDFF\uFE70-\uFEFC\U0001E900-\U0001E95F])'
                '|(?<=[\u2190-\u2BFF\uFE0F\U0001F000-\U0001FAFF])\u200D(?=[\u2190-\u2BFF\uFE0F\U0001F000-\U0001FAFF])',
                '', 'g'
            ) !~ (
                '[\u0001-\u001F\u007F-\u009F\u200B-\u200D\u2028-\u202E\u2061-\u206F\u0600-\u0605\u06DD\u070F\u0890'
                '\u0891\u08E2\u180E\uFFF0-\uFFFB\U000110BD\U000110CD\U00013430-\U0001343F\U0001BCA0-\U0001BCA3'
                '\U0001D173-\U0001D17A\U000E0000-\U000E00FF\U000E01F0-\U000E0FFF\u115F\u1160\u3164\uFFA0\u2800'
                '\uFFFC\U00013441\U00013442\U0001D159\uE000-\uF8FF\U000F0000-\U0010FFFF\uFDD0-\uFDEF\uFFFE\uFFFF]'
            )
    $$;

-- On Supabase the profile is created with the account, but only if its address may sign up: the application checks that
-- only when it creates a profile, at the first token. Nothing in the account's metadata may make the signup fail.
CREATE FUNCTION handle_new_user() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
DECLARE
    said jsonb := coalesce(NEW.raw_user_meta_data, '{}');
    own_school text := public.school_of_address(NEW.email);
BEGIN
    INSERT INTO public.profiles (id, profile_type, email, name, gender, school)
    SELECT
        NEW.id,
        'user',
        NEW.email,
        coalesce(public.usable_name(said ->> 'name'), public.usable_name(said ->> 'full_name')),
        CASE WHEN said ->> 'gender' IN ('male', 'female', 'other') THEN said ->> 'gender' END,
        coalesce(public.usable_name(said ->> 'school'), own_school)
    WHERE own_school IS NOT NULL
        OR EXISTS (
            SELECT FROM public.system_settings WHERE key = 'allow_non_edu_emails' AND value = 'true'
        )
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

DO $$
BEGIN
    IF to_regclass('auth.users') IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_trigger
        WHERE tgrelid = to_regclass('auth.users') AND tgname = 'on_auth_user_created'
    ) THEN
        CREATE TRIGGER on_auth_user_created AFTER INSERT ON auth.users
            FOR EACH ROW EXECUTE FUNCTION public.handle_new_user();
    END IF;
END
$$;

-- Row-level security ---------------------------------------------------------------------------------
-- On Supabase every table here is reachable from the internet, so all are closed to everybody but their
-- owner and roles that bypass it; policies open what the application and end users need.

ALTER TABLE profiles ENABLE ROW LEVEL SECURITY;
ALTER TABLE faces ENABLE ROW LEVEL SECURITY;
ALTER TABLE matches ENABLE ROW LEVEL SECURITY;
ALTER TABLE celebrities ENABLE ROW LEVEL SECURITY;
ALTER TABLE celebrity_matches ENABLE ROW LEVEL SECURITY;
ALTER TABLE reactions ENABLE ROW LEVEL SECURITY;
ALTER TABLE babies ENABLE ROW LEVEL SECURITY;
ALTER TABLE match_jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE notifications ENABLE ROW LEVEL SECURITY;
ALTER TABLE mutual_connections ENABLE ROW LEVEL SECURITY;
ALTER TABLE messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE system_settings ENABLE ROW LEVEL SECURITY;
ALTER TABLE user_daily_quotas ENABLE ROW LEVEL SECURITY;
ALTER TABLE generation_logs ENABLE ROW LEVEL SECURITY;

-- Whether the caller is an admin; runs as its owner, because the caller may not read profiles.
CREATE FUNCTION is_admin() RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $$
        SELECT EXISTS (SELECT FROM public.profiles WHERE id = auth.uid() AND role = 'admin')
    $$;

-- Privileges of the application ----------------------------------------------------------------------
-- Only what its statements need. It reaches rows by policies and not by BYPASSRLS, which a login does not inherit from
-- a role it is a member of.

-- Rights that everybody has on most servers, but not on Supabase or where an administrator has revoked them.
DO $$
DECLARE
    vector_schema name := (
        SELECT nspname
        FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
        WHERE extname = 'vector'
    );
    needed name;
BEGIN
    FOREACH needed IN ARRAY ARRAY['public', vector_schema] LOOP
        IF NOT has_schema_privilege('semblance_service', needed, 'USAGE') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO semblance_service', needed);
        END IF;
    END LOOP;
    FOREACH needed IN ARRAY ARRAY['CONNECT', 'TEMPORARY'] LOOP
        IF NOT has_database_privilege('semblance_service', current_database(), needed) THEN
            EXECUTE format('GRANT %s ON DATABASE %I TO semblance_service', needed, current_database());
        END IF;
    END LOOP;
END
$$;

GRANT SELECT ON
    profiles, faces, matches, celebrities, celebrity_matches, reactions, babies, match_jobs, notifications,
    mutual_connections, messages, system_settings, user_daily_quotas, generation_logs
    TO semblance_service;
-- Not the role: only the owner makes admins.
GRANT
    INSERT (id, profile_type, email, name, gender, school),
    UPDATE (name, gender, school, default_face_id, last_seen)
    ON profiles TO semblance_service;
GRANT INSERT ON celebrities, babies TO semblance_service;
-- A celebrity who is ingested again gets the gender that was seen.
GRANT UPDATE (seen_gender) ON celebrities TO semblance_service;
GRANT INSERT, DELETE ON reactions TO semblance_service;
GRANT INSERT, UPDATE ON
    matches, mutual_connections, messages, system_settings, user_daily_quotas, generation_logs
    TO semblance_service;
GRANT INSERT, UPDATE, DELETE ON faces, celebrity_matches, notifications TO semblance_service;
GRANT UPDATE, DELETE ON match_jobs TO semblance_service;

-- An ingestion ends with ANALYZE. Before PostgreSQL 17 only the owner may; for others it is a warning, and
-- autovacuum does it some time later.
DO $$
BEGIN
    IF current_setting('server_version_num')::integer >= 170000 THEN
        EXECUTE 'GRANT MAINTAIN ON celebrities TO semblance_service';
    END IF;
END
$$;

CREATE POLICY profiles_service ON profiles TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY faces_service ON faces TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY matches_service ON matches TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY celebrities_service ON celebrities TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY celebrity_matches_service ON celebrity_matches TO semblance_service
    USING (true) WITH CHECK (true);
CREATE POLICY reactions_service ON reactions TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY babies_service ON babies TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY match_jobs_service ON match_jobs TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY notifications_service ON notifications TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY mutual_connections_service ON mutual_connections TO semblance_service
    USING (true) WITH CHECK (true);
CREATE POLICY messages_service ON messages TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY system_settings_service ON system_settings TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY user_daily_quotas_service ON user_daily_quotas TO semblance_service
    USING (true) WITH CHECK (true);
CREATE POLICY generation_logs_service ON generation_logs TO semblance_service USING (true) WITH CHECK (true);

-- Privileges of end users ----------------------------------------------------------------------------
-- The rights of end users, who talk to the database with their own token and not through the API. They read what the
-- API would tell them, and change single rows. What involves a picture, a limit, a notification of others or a rule
-- over two rows goes through the API.

-- On Supabase every role has every right on a new table or function.
REVOKE ALL ON
    profiles, faces, matches, celebrities, celebrity_matches, reactions, babies, match_jobs, notifications,
    mutual_connections, messages, system_settings, user_daily_quotas, generation_logs
    FROM authenticated, anon;

-- Functions that run as their owner. Triggers' functions are not public either: a user who may make a temporary table
-- could attach one to it.
REVOKE EXECUTE ON FUNCTION auto_create_match_job(), handle_new_user(), is_admin(), usable_name(text)
    FROM PUBLIC, authenticated, anon;
GRANT EXECUTE ON FUNCTION is_admin() TO authenticated;

-- The default since PostgreSQL 15: only the owner adds names to the schema in which others search them.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

-- What belongs to the caller. The functions run as their owner, so that no policy has to read a table through another
-- policy. They return arrays, so that a policy calls them once per statement and finds rows by index.
CREATE FUNCTION my_faces() RETURNS uuid[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $$
        SELECT ARRAY(SELECT id FROM public.faces WHERE profile_id = auth.uid())
    $$;

CREATE FUNCTION my_matches() RETURNS uuid[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $$
        WITH mine AS (SELECT id FROM public.faces WHERE profile_id = auth.uid())
        SELECT ARRAY(
            SELECT matches.id FROM mine JOIN public.matches ON face_a_id = mine.id
            UNION
            SELECT matches.id FROM mine JOIN public.matches ON face_b_id = mine.id
        )
    $$;

-- $1: only those that the caller may write in.
CREATE FUNCTION my_connections(active boolean) RETURNS uuid[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $$
        SELECT ARRAY(
            SELECT id
            FROM public.mutual_connections
            WHERE (profile_a_id = auth.uid() OR profile_b_id = auth.uid()) AND (NOT $1 OR status = 'active')
        )
    $$;

-- The caller and their connections, except where one of the two has blocked the other.
CREATE FUNCTION my_contacts() RETURNS uuid[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $$
        SELECT auth.uid() || ARRAY(
            SELECT CASE auth.uid() WHEN profile_a_id THEN profile_b_id ELSE profile_a_id END
            FROM public.mutual_connections
            WHERE (profile_a_id = auth.uid() OR profile_b_id = auth.uid()) AND status <> 'blocked'
        )
    $$;

REVOKE EXECUTE ON FUNCTION my_faces(), my_matches(), my_connections(boolean), my_contacts() FROM PUBLIC, anon;
GRANT EXECUTE ON FUNCTION my_faces(), my_matches(), my_connections(boolean), my_contacts() TO authenticated;

-- The gallery and the settings are public, except what is measured of a face and who changed a setting.
GRANT SELECT (id, name, bio, category, gender, image_path, created_at, updated_at) ON celebrities
    TO authenticated, anon;
GRANT SELECT (key, value, description, updated_at) ON system_settings TO authenticated, anon;
CREATE POLICY celebrities_public_read ON celebrities FOR SELECT TO authenticated, anon USING (true);
CREATE POLICY system_settings_public_read ON system_settings FOR SELECT TO authenticated, anon USING (true);

-- Admins change settings, in their own name.
GRANT
    INSERT (key, value, description, updated_by), UPDATE (value, description, updated_by), DELETE
    ON system_settings TO authenticated;
CREATE POLICY system_settings_admin_insert ON system_settings FOR INSERT TO authenticated
    WITH CHECK ((SELECT is_admin()) AND updated_by = (SELECT auth.uid()));
CREATE POLICY system_settings_admin_update ON system_settings FOR UPDATE TO authenticated
    USING ((SELECT is_admin()))
    WITH CHECK ((SELECT is_admin()) AND updated_by = (SELECT auth.uid()));
CREATE POLICY system_settings_admin_delete ON system_settings FOR DELETE TO authenticated
    USING ((SELECT is_admin()));

-- The live feed is public. Its names and pictures come from the API, which signs the pictures' addresses.
GRANT SELECT (id, face_a_id, face_b_id, similarity_score, created_at) ON matches TO authenticated, anon;
CREATE POLICY matches_public_read ON matches FOR SELECT TO authenticated, anon USING (true);

-- The caller and their contacts. No e-mail address: the caller's is in the token.
GRANT
    SELECT (id, name, gender, school, default_face_id, last_seen),
    UPDATE (name, gender, school, default_face_id)
    ON profiles TO authenticated;
CREATE POLICY profiles_contacts_read ON profiles FOR SELECT TO authenticated
    USING (id = ANY ((SELECT my_contacts())::uuid[]));
CREATE POLICY profiles_own_update ON profiles FOR UPDATE TO authenticated
    USING (id = (SELECT auth.uid()))
    WITH CHECK (
        id = (SELECT auth.uid())
        -- The values that the API accepts.
        AND (name IS NULL OR name ~ '^(?=.*\S)[^[:cntrl:]]{1,100}$')
        AND (school IS NULL OR school ~ '^(?=.*\S)[^[:cntrl:]]{1,100}$')
        AND (default_face_id IS NULL OR default_face_id = ANY ((SELECT my_faces())::uuid[]))
    );

-- No INSERT: a row could name another user's picture, for which the API would then sign a URL.
GRANT SELECT (id, profile_id, image_path, created_at) ON faces TO authenticated;
CREATE POLICY faces_own_read ON faces FOR SELECT TO authenticated USING (profile_id = (SELECT auth.uid()));

GRANT SELECT (
    id, face_id, celebrity_id, similarity_score, factor_embedding, factor_geometry, factor_age,
    factor_symmetry, factor_skin_tone, factor_expression, created_at, updated_at
) ON celebrity_matches TO authenticated;
CREATE POLICY celebrity_matches_own_read ON celebrity_matches FOR SELECT TO authenticated
    USING (face_id = ANY ((SELECT my_faces())::uuid[]));

-- Users may mark any match as viewed, but like only their own.
GRANT SELECT, INSERT (match_id, user_profile_id, reaction_type), DELETE ON reactions TO authenticated;
CREATE POLICY reactions_own_read ON reactions FOR SELECT TO authenticated
    USING (user_profile_id = (SELECT auth.uid()));
CREATE POLICY reactions_own_insert ON reactions FOR INSERT TO authenticated
    WITH CHECK (
        user_profile_id = (SELECT auth.uid())
        AND (reaction_type = 'viewed' OR match_id = ANY ((SELECT my_matches())::uuid[]))
    );
CREATE POLICY reactions_own_delete ON reactions FOR DELETE TO authenticated
    USING (user_profile_id = (SELECT auth.uid()));

GRANT SELECT ON babies, match_jobs, mutual_connections, user_daily_quotas TO authenticated;
CREATE POLICY babies_own_matches_read ON babies FOR SELECT TO authenticated
    USING (match_id = ANY ((SELECT my_matches())::uuid[]));
CREATE POLICY match_jobs_own_read ON match_jobs FOR SELECT TO authenticated
    USING (user_id = (SELECT auth.uid()));
CREATE POLICY mutual_connections_members_read ON mutual_connections FOR SELECT TO authenticated
    USING (profile_a_id = (SELECT auth.uid()) OR profile_b_id = (SELECT auth.uid()));
CREATE POLICY user_daily_quotas_own_read ON user_daily_quotas FOR SELECT TO authenticated
    USING (profile_id = (SELECT auth.uid()));

GRANT SELECT, UPDATE (read_at), DELETE ON notifications TO authenticated;
CREATE POLICY notifications_own_read ON notifications FOR SELECT TO authenticated
    USING (user_id = (SELECT auth.uid()));
CREATE POLICY notifications_own_update ON notifications FOR UPDATE TO authenticated
    USING (user_id = (SELECT auth.uid()));
CREATE POLICY notifications_own_delete ON notifications FOR DELETE TO authenticated
    USING (user_id = (SELECT auth.uid()));

-- Text only: the API checks the addresses of pictures.
GRANT SELECT, INSERT (connection_id, sender_id, content, message_type), UPDATE (read_at) ON messages
    TO authenticated;
CREATE POLICY messages_members_read ON messages FOR SELECT TO authenticated
    USING (connection_id = ANY ((SELECT my_connections(active => false))::uuid[]));
CREATE POLICY messages_members_insert ON messages FOR INSERT TO authenticated
    WITH CHECK (
        sender_id = (SELECT auth.uid())
        AND connection_id = ANY ((SELECT my_connections(active => true))::uuid[])
        AND message_type = 'text'
        AND content ~ '\S'
        AND char_length(content) <= 4000
    );
CREATE POLICY messages_receiver_update ON messages FOR UPDATE TO authenticated
    USING (
        sender_id <> (SELECT auth.uid())
        AND connection_id = ANY ((SELECT my_connections(active => false))::uuid[])
    )
    WITH CHECK (read_at IS NOT NULL);

-- Events ---------------------------------------------------------------------------------------------
-- What the realtime API tells its clients. A transaction inserts events at any time; at its commit they get the ids by
-- which they are read. Ids are assigned under a lock that is held until the commit is visible, so they are in the order
-- of commits: a reader that has read up to an id misses none with a smaller one.
CREATE TABLE events (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id bigint CONSTRAINT events_id_key UNIQUE,
    type text NOT NULL
        CHECK (type IN (
            'matches', 'job', 'message', 'message_read', 'notifications', 'presence', 'session_ended', 'admin',
            'inference', 'draft'
        )),
    -- The profiles it is for; null for everybody.
    audience uuid[],
    payload jsonb NOT NULL,
    -- Time of the commit.
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE SEQUENCE events_id_seq OWNED BY events.id;

-- Ids are not below the microseconds since 1970. Some commits do not wait for the disk, and a crash of the server can
-- lose events that were told already: their ids are then not given to others, which a reader would take for read.
CREATE FUNCTION publish_event() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(8319385479046456435);
    UPDATE public.events
    SET id = setval('public.events_id_seq', greatest(
            nextval('public.events_id_seq'), (extract(epoch FROM clock_timestamp()) * 1e6)::bigint
        )),
        created_at = clock_timestamp()
    WHERE number = NEW.number;
    PERFORM pg_notify('events', '');
    RETURN NULL;
END
$$;

-- At the end of the transaction, so that the lock lasts no longer than the commit.
CREATE CONSTRAINT TRIGGER events_publish AFTER INSERT ON events
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION publish_event();

-- One event per statement, whether it adds one match or a million. It names up to 500 of them; of more, only
-- the best 20.
CREATE FUNCTION tell_of_matches() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    INSERT INTO public.events (type, payload)
    SELECT 'matches', jsonb_build_object('count', count(*), 'ids', (
        SELECT jsonb_agg(id)
        FROM (
            SELECT id FROM added ORDER BY similarity_score DESC, id
            LIMIT (SELECT CASE WHEN count(*) > 500 THEN 20 ELSE 500 END FROM added)
        ) AS best
    ))
    FROM added
    HAVING count(*) > 0;
    RETURN NULL;
END
$$;

CREATE TRIGGER matches_tell AFTER INSERT ON matches
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_matches();

CREATE FUNCTION tell_of_job() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    INSERT INTO public.events (type, audience, payload)
    VALUES ('job', ARRAY[NEW.user_id], jsonb_build_object(
        'id', NEW.id,
        'face_id', NEW.face_id,
        'status', NEW.status,
        'attempts', NEW.attempts,
        'error', NEW.error_message,
        'created_at', NEW.created_at,
        'started_at', NEW.started_at,
        'completed_at', NEW.completed_at
    ));
    RETURN NULL;
END
$$;

CREATE TRIGGER match_jobs_tell AFTER INSERT ON match_jobs
    FOR EACH ROW EXECUTE FUNCTION tell_of_job();
CREATE TRIGGER match_jobs_tell_status AFTER UPDATE OF status ON match_jobs
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION tell_of_job();

CREATE FUNCTION tell_of_message() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    INSERT INTO public.events (type, audience, payload)
    SELECT 'message', ARRAY[profile_a_id, profile_b_id], to_jsonb(NEW)
    FROM public.mutual_connections
    WHERE id = NEW.connection_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER messages_tell AFTER INSERT ON messages
    FOR EACH ROW EXECUTE FUNCTION tell_of_message();

-- One event per statement and connection; it names the latest 100.
CREATE FUNCTION tell_of_read_messages() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    INSERT INTO public.events (type, audience, payload)
    SELECT 'message_read', ARRAY[profile_a_id, profile_b_id], jsonb_build_object(
        'connection_id', read.connection_id,
        'count', count(*),
        'ids', jsonb_agg(read.id ORDER BY place) FILTER (WHERE place <= 100),
        'read_at', max(read.read_at)
    )
    FROM (
        SELECT
            changed.id, changed.connection_id, changed.read_at,
            row_number() OVER (
                PARTITION BY changed.connection_id ORDER BY changed.created_at DESC, changed.id DESC
            ) AS place
        FROM changed JOIN previous ON previous.id = changed.id
        WHERE previous.read_at IS NULL AND changed.read_at IS NOT NULL
    ) AS read
    JOIN public.mutual_connections AS connection ON connection.id = read.connection_id
    GROUP BY read.connection_id, profile_a_id, profile_b_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER messages_tell_read AFTER UPDATE ON messages
    REFERENCING OLD TABLE AS previous NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_read_messages();

-- One event per statement and user; it carries the latest 20.
CREATE FUNCTION tell_of_notifications() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    INSERT INTO public.events (type, audience, payload)
    SELECT 'notifications', ARRAY[user_id], jsonb_build_object(
        'count', count(*),
        'notifications', jsonb_agg(notification ORDER BY place) FILTER (WHERE place <= 20)
    )
    FROM (
        SELECT
            user_id,
            row_number() OVER (PARTITION BY user_id ORDER BY created_at DESC, id DESC) AS place,
            to_jsonb(changed) - 'user_id' AS notification
        FROM changed
    ) AS changes
    GROUP BY user_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER notifications_tell AFTER INSERT ON notifications
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_notifications();
CREATE TRIGGER notifications_tell_change AFTER UPDATE ON notifications
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_notifications();

-- Presence: a profile is online while it has a realtime session on any replica of the API. A replica that no
-- longer moves its `seen_at` is gone, and the others end its sessions.
ALTER TABLE profiles ADD COLUMN online boolean NOT NULL DEFAULT false;

CREATE TABLE realtime_replicas (
    id uuid PRIMARY KEY,
    seen_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE realtime_sessions (
    id uuid PRIMARY KEY,
    profile_id uuid NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    replica_id uuid NOT NULL REFERENCES realtime_replicas (id) ON DELETE CASCADE
);
CREATE INDEX idx_realtime_sessions_profile_id ON realtime_sessions (profile_id);
CREATE INDEX idx_realtime_sessions_replica_id ON realtime_sessions (replica_id);

-- The first and the last session change it, one at a time per profile: both lock its row before they look. Does not
-- write the rows of users who hide their presence, because clients on Supabase may watch for writes.
CREATE FUNCTION set_presence() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
DECLARE
    whose uuid := coalesce(NEW.profile_id, OLD.profile_id);
BEGIN
    PERFORM FROM public.profiles WHERE id = whose FOR NO KEY UPDATE;
    IF EXISTS (SELECT FROM public.realtime_sessions WHERE profile_id = whose) THEN
        UPDATE public.profiles SET online = true WHERE id = whose AND NOT online AND show_presence;
    ELSE
        UPDATE public.profiles SET online = false, last_seen = now() WHERE id = whose AND online;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER realtime_sessions_presence AFTER INSERT OR DELETE ON realtime_sessions
    FOR EACH ROW EXECUTE FUNCTION set_presence();

-- For the user and their connections.
CREATE FUNCTION tell_of_presence() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    INSERT INTO public.events (type, audience, payload)
    VALUES (
        'presence',
        ARRAY(
            SELECT NEW.id
            UNION ALL
            SELECT CASE NEW.id WHEN profile_a_id THEN profile_b_id ELSE profile_a_id END
            FROM public.mutual_connections
            WHERE NEW.id IN (profile_a_id, profile_b_id) AND status <> 'blocked'
        ),
        jsonb_build_object('profile_id', NEW.id, 'online', NEW.online, 'last_seen', NEW.last_seen)
    );
    RETURN NULL;
END
$$;

-- Only the application reads events, and it decides who is told.
ALTER TABLE events ENABLE ROW LEVEL SECURITY;
ALTER TABLE realtime_replicas ENABLE ROW LEVEL SECURITY;
ALTER TABLE realtime_sessions ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON events, realtime_replicas, realtime_sessions FROM authenticated, anon;
REVOKE ALL ON SEQUENCE events_id_seq, events_number_seq FROM authenticated, anon;
REVOKE EXECUTE ON FUNCTION
    publish_event(), tell_of_matches(), tell_of_job(), tell_of_message(), tell_of_read_messages(),
    tell_of_notifications(), set_presence(), tell_of_presence()
    FROM PUBLIC, authenticated, anon;
GRANT SELECT, DELETE ON events TO semblance_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON realtime_replicas, realtime_sessions TO semblance_service;

CREATE POLICY events_service ON events TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY realtime_replicas_service ON realtime_replicas TO semblance_service
    USING (true) WITH CHECK (true);
CREATE POLICY realtime_sessions_service ON realtime_sessions TO semblance_service
    USING (true) WITH CHECK (true);

-- The application checks keys and records their use, and makes and revokes them for operators. A revoked key
-- stays revoked, and no key gets another hash.
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT (name, prefix, hash, scopes), UPDATE (last_used_at, revoked_at) ON api_keys
    TO semblance_service;
REVOKE ALL ON api_keys FROM authenticated, anon;
CREATE POLICY api_keys_service_reads ON api_keys FOR SELECT TO semblance_service USING (true);
CREATE POLICY api_keys_service_adds ON api_keys FOR INSERT TO semblance_service WITH CHECK (true);
CREATE POLICY api_keys_service_changes ON api_keys FOR UPDATE TO semblance_service
    USING (revoked_at IS NULL) WITH CHECK (true);

-- Feed -----------------------------------------------------------------------------------------------
CREATE INDEX idx_profiles_online ON profiles (online) WHERE online;

-- The number of matches is of those that are seen.
CREATE FUNCTION change_match_count(change bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    IF change <> 0 THEN
        UPDATE public.match_counts
        SET count = count + change
        WHERE slot = (SELECT slot FROM public.match_counts ORDER BY slot LIMIT 1 FOR UPDATE SKIP LOCKED);
        IF NOT FOUND THEN
            INSERT INTO public.match_counts (count) VALUES (change);
        END IF;
    END IF;
END
$$;

CREATE FUNCTION count_matches() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM public.match_counts;
    ELSIF TG_OP = 'INSERT' THEN
        PERFORM public.change_match_count(count(*)) FROM added;
    ELSE
        PERFORM public.change_match_count(-count(*)) FROM removed WHERE NOT hidden;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER matches_count_added AFTER INSERT ON matches
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_matches();
CREATE TRIGGER matches_count_removed AFTER DELETE ON matches
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_matches();
CREATE TRIGGER matches_count_none AFTER TRUNCATE ON matches
    FOR EACH STATEMENT EXECUTE FUNCTION count_matches();

-- After the triggers, whose lock keeps writers out until this is committed.
INSERT INTO match_counts (count) SELECT count(*) FROM matches;

ALTER TABLE match_counts ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON match_counts TO semblance_service;
REVOKE ALL ON match_counts FROM authenticated, anon;
REVOKE ALL ON SEQUENCE match_counts_slot_seq FROM authenticated, anon;
REVOKE EXECUTE ON FUNCTION count_matches() FROM PUBLIC, authenticated, anon;
CREATE POLICY match_counts_service ON match_counts TO semblance_service USING (true) WITH CHECK (true);

-- Queue and matching ---------------------------------------------------------------------------------

-- The queue: who holds a job until when, when it is due again, and its result.
ALTER TABLE match_jobs
    ADD COLUMN run_after timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN locked_by uuid,
    ADD COLUMN lease_until timestamptz,
    ADD COLUMN user_matches integer CHECK (user_matches >= 0),
    ADD COLUMN celebrity_matches integer CHECK (celebrity_matches >= 0);

CREATE INDEX idx_match_jobs_due ON match_jobs (run_after, created_at) WHERE status = 'pending';
CREATE INDEX idx_match_jobs_lease ON match_jobs (lease_until) WHERE status = 'processing';
CREATE INDEX idx_match_jobs_finished ON match_jobs (completed_at) WHERE status IN ('completed', 'failed');

-- A job that returns to the queue wakes the workers as a new one does.
CREATE TRIGGER match_jobs_notify_return AFTER UPDATE OF status ON match_jobs
    FOR EACH ROW WHEN (NEW.status = 'pending') EXECUTE FUNCTION notify_match_jobs();

-- Matches depend on the profile, so all its faces are matched again when it changes.
CREATE FUNCTION rematch_profile() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    INSERT INTO public.match_jobs (face_id, user_id)
    SELECT id, NEW.id
    FROM public.faces
    WHERE profile_id = NEW.id AND NOT EXISTS (
        SELECT FROM public.match_jobs WHERE face_id = faces.id AND status = 'pending'
    );
    RETURN NULL;
END
$$;

-- What changed in the gallery and by which transaction, so that a process with the gallery in memory can read exactly
-- what it has not seen yet. Rows are removed after a day.
CREATE TABLE celebrity_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    celebrity_id uuid NOT NULL,
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_celebrity_changes_transaction ON celebrity_changes (transaction, celebrity_id);
CREATE INDEX idx_celebrity_changes_created_at ON celebrity_changes (created_at);

CREATE FUNCTION note_celebrity_changes() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO public.celebrity_changes (celebrity_id) SELECT id FROM public.celebrities;
    ELSE
        INSERT INTO public.celebrity_changes (celebrity_id) SELECT id FROM changed;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER celebrities_note_insert AFTER INSERT ON celebrities
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_celebrity_changes();
CREATE TRIGGER celebrities_note_update AFTER UPDATE ON celebrities
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_celebrity_changes();
CREATE TRIGGER celebrities_note_delete AFTER DELETE ON celebrities
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_celebrity_changes();
CREATE TRIGGER celebrities_note_truncate BEFORE TRUNCATE ON celebrities
    FOR EACH STATEMENT EXECUTE FUNCTION note_celebrity_changes();

ALTER TABLE celebrity_changes ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON celebrity_changes FROM authenticated, anon;
REVOKE ALL ON SEQUENCE celebrity_changes_id_seq FROM authenticated, anon;
REVOKE EXECUTE ON FUNCTION rematch_profile(), note_celebrity_changes() FROM PUBLIC, authenticated, anon;
GRANT SELECT, DELETE ON celebrity_changes TO semblance_service;
CREATE POLICY celebrity_changes_service ON celebrity_changes TO semblance_service
    USING (true) WITH CHECK (true);

-- The six factors of a match, 0..1; matching/scoring.py is the same in NumPy and says where they come from. Names in
-- unquoted bodies are resolved here, regardless of the caller's search_path, and unlike functions that set one these
-- are inlined into the calling query. PostgreSQL raises an error when a product underflows, so differences are kept
-- above 1e-30: one odd row must not fail a search.
CREATE FUNCTION embedding_factor(a vector, b vector) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN greatest(0, coalesce(nullif(1 - (a <=> b), 'NaN'), 0));

CREATE FUNCTION geometry_factor(a float8[], b float8[]) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 1 - least(1, sqrt(
        (abs(a[1] - b[1]) + 1e-30) ^ 2 + (abs(a[2] - b[2]) + 1e-30) ^ 2
        + (abs(a[3] - b[3]) + 1e-30) ^ 2 + (abs(a[4] - b[4]) + 1e-30) ^ 2
    ));

CREATE FUNCTION age_factor(a integer, b integer) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN abs(a - b) <= 2 THEN 1.0 WHEN abs(a - b) <= 5 THEN 0.9 WHEN abs(a - b) <= 10 THEN 0.7
        ELSE 0.5 END;

CREATE FUNCTION symmetry_factor(a float8, b float8) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN greatest(a + b, 1e-30) / 2;

CREATE FUNCTION skin_tone_factor(a float8[], b float8[]) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 1 - least(1, sqrt(
        (abs(a[1] - b[1]) + 1e-30) ^ 2 + (abs(a[2] - b[2]) + 1e-30) ^ 2 + (abs(a[3] - b[3]) + 1e-30) ^ 2
    ) / 100);

CREATE FUNCTION expression_factor(a smallint, b smallint) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN a = b THEN 1.0 ELSE 0.6 END;

-- The score of a match: its factors by their weights.
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
CREATE FUNCTION match_score(
    embedding float8, geometry float8, age float8, symmetry float8, skin_tone float8, expression float8,
    weights jsonb
) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN match_score(
        embedding, geometry, age, symmetry, skin_tone, expression,
        (weights -> 'embedding')::float8, (weights -> 'geometry')::float8, (weights -> 'age')::float8,
        (weights -> 'symmetry')::float8, (weights -> 'skin_tone')::float8, (weights -> 'expression')::float8
    );

-- One of the four ratios; null unless it is a number that a face can have.
CREATE FUNCTION geometry_ratio(ratios jsonb, name text) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN jsonb_typeof(ratios -> name) = 'number' THEN
        CASE WHEN (ratios -> name)::numeric BETWEEN 0 AND 10 THEN round((ratios -> name)::numeric, 9)::float8 END
    END;

-- What the factors compare, complete: missing and impossible values are replaced as the rules say. `expression` is the
-- index in the list of seven. A role that may read the table may read its view.
CREATE VIEW face_traits WITH (security_invoker = true) AS
    SELECT
        id,
        profile_id,
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
    FROM faces;

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
        ) - 1)::smallint AS expression,
        coalesce(person_id, id) AS person
    FROM celebrities;

REVOKE ALL ON face_traits, celebrity_traits FROM authenticated, anon;
GRANT SELECT ON face_traits, celebrity_traits TO semblance_service;

-- Rules of matching that several queries ask for. They are inlined into the calling query, as the factors are.

-- Genders as they are numbered in arrays: GENDERS of db/copy_arrays.py.
CREATE FUNCTION gender_number(gender text) RETURNS smallint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE gender WHEN 'male' THEN 1 WHEN 'female' THEN 2 WHEN 'other' THEN 3 ELSE 0 END::smallint;

-- Whether a user who states the first gender is matched with celebrities of the second: with all, if none is stated,
-- else with those whose gender is known and differs. matching/eligibility.py says the same in NumPy.
CREATE FUNCTION may_match_celebrity(stated text, gender text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN stated IS NULL OR gender <> stated;

-- Whether a match that was found differs from the stored one: other weights, or a factor that differs by more than
-- rounding. True if nothing is stored.
CREATE FUNCTION match_differs(
    stored_weights jsonb, stored_embedding float8, stored_geometry float8, stored_age float8,
    stored_symmetry float8, stored_skin_tone float8, stored_expression float8,
    weights jsonb, embedding float8, geometry float8, age float8, symmetry float8, skin_tone float8,
    expression float8
) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN stored_weights IS DISTINCT FROM weights OR greatest(
        abs(stored_embedding - embedding), abs(stored_geometry - geometry), abs(stored_age - age),
        abs(stored_symmetry - symmetry), abs(stored_skin_tone - skin_tone), abs(stored_expression - expression)
    ) > 1e-6;

-- Baby pictures --------------------------------------------------------------------------------------
-- Keys with which clients repeat a request for a baby picture without making another one (the header
-- Idempotency-Key). The match is the whole content of such a request. `claim` is the process that works on it until
-- `claimed_until`, after which it is taken for dead; the baby is the result.
CREATE TABLE baby_requests (
    profile_id uuid NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    key text NOT NULL CHECK (key <> ''),
    match_id uuid NOT NULL REFERENCES matches (id) ON DELETE CASCADE,
    claim uuid NOT NULL,
    claimed_until timestamptz NOT NULL,
    baby_id uuid REFERENCES babies (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (profile_id, key)
);
CREATE INDEX idx_baby_requests_match_id ON baby_requests (match_id);
CREATE INDEX idx_baby_requests_baby_id ON baby_requests (baby_id);
CREATE INDEX idx_baby_requests_created_at ON baby_requests (created_at);

-- Few of the stored calls are in progress.
CREATE INDEX idx_generation_logs_processing ON generation_logs (profile_id, created_at)
    WHERE status = 'processing';

ALTER TABLE baby_requests ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON baby_requests TO semblance_service;
REVOKE ALL ON baby_requests FROM authenticated, anon;
CREATE POLICY baby_requests_service ON baby_requests TO semblance_service USING (true) WITH CHECK (true);

-- Rematching -----------------------------------------------------------------------------------------
-- A run of batch.rematch: its options and the rules it scores by, so that only a run with the same ones is continued.
CREATE TABLE rematch_runs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    options jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz
);
CREATE INDEX idx_rematch_runs_created_at ON rematch_runs (created_at);

-- Its parts, each written in one transaction together with `completed_at`: whole schools, or a range of face ids.
CREATE TABLE rematch_shards (
    run_id uuid NOT NULL REFERENCES rematch_runs (id) ON DELETE CASCADE,
    number integer NOT NULL,
    pack_digest text NOT NULL,
    schools text[],
    first_face uuid,
    last_face uuid,
    faces integer NOT NULL CHECK (faces >= 0),
    pairs bigint CHECK (pairs >= 0),
    added integer CHECK (added >= 0),
    changed integer CHECK (changed >= 0),
    removed integer CHECK (removed >= 0),
    completed_at timestamptz,
    PRIMARY KEY (run_id, number),
    CONSTRAINT rematch_shards_kind_check CHECK (
        (schools IS NULL) = (first_face IS NOT NULL) AND (schools IS NULL) = (last_face IS NOT NULL)
    ),
    CONSTRAINT rematch_shards_counts_check CHECK (
        num_nulls(pairs, added, changed, removed, completed_at) IN (0, 5)
    )
);

-- Whether a match is in use: it has a like, a baby picture or a chat. Such a match stays even if a rematch does not
-- find it again.
CREATE FUNCTION match_in_use(match uuid) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN EXISTS (SELECT FROM reactions WHERE match_id = match AND reaction_type = 'like')
        OR EXISTS (SELECT FROM babies WHERE match_id = match)
        OR EXISTS (SELECT FROM baby_requests WHERE match_id = match)
        OR EXISTS (SELECT FROM mutual_connections WHERE match_id = match);

ALTER TABLE rematch_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE rematch_shards ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON rematch_runs, rematch_shards FROM authenticated, anon;
REVOKE EXECUTE ON FUNCTION match_in_use(uuid) FROM PUBLIC, authenticated, anon;
GRANT EXECUTE ON FUNCTION match_in_use(uuid) TO semblance_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON rematch_runs, rematch_shards TO semblance_service;
GRANT DELETE ON matches TO semblance_service;
CREATE POLICY rematch_runs_service ON rematch_runs TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY rematch_shards_service ON rematch_shards TO semblance_service USING (true) WITH CHECK (true);

-- What every search for celebrities by the embeddings of a pack depends on, as a rematch last saw it. Another number
-- stands for other rules, or for another gallery, which is told by where in `celebrity_changes` it was read.
CREATE TABLE match_generations (
    pack_digest text PRIMARY KEY,
    generation bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    rules jsonb NOT NULL,
    snapshot text NOT NULL,
    last_change bigint NOT NULL,
    history text NOT NULL,
    looked_at timestamptz NOT NULL DEFAULT now()
);

-- Faces whose matches with celebrities are what a search of that generation found. content: SHA-256 of what was searched
-- with. matches: a hash of the stored matches; once one of them is added, changed or removed, it is another.
CREATE TABLE settled_faces (
    face_id uuid PRIMARY KEY REFERENCES faces (id) ON DELETE CASCADE,
    generation bigint NOT NULL,
    content bytea NOT NULL,
    matches bigint NOT NULL
);

ALTER TABLE match_generations ENABLE ROW LEVEL SECURITY;
ALTER TABLE settled_faces ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON match_generations, settled_faces FROM authenticated, anon;
REVOKE ALL ON SEQUENCE match_generations_generation_seq FROM authenticated, anon;
GRANT SELECT, INSERT, UPDATE ON match_generations, settled_faces TO semblance_service;
CREATE POLICY match_generations_service ON match_generations TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY settled_faces_service ON settled_faces TO semblance_service USING (true) WITH CHECK (true);

-- Spare embeddings -----------------------------------------------------------------------------------
-- Embeddings by other model packs than the one in the row itself: filled in while another pack is in force, and kept
-- for the way back. Of any number of packs, until they are dropped. Stored PLAIN, three to a page, as in the tables they
-- belong to.
CREATE TABLE spare_face_embeddings (
    face_id uuid NOT NULL REFERENCES faces (id) ON DELETE CASCADE,
    pack_digest text NOT NULL,
    embedding vector(512) STORAGE PLAIN NOT NULL,
    PRIMARY KEY (face_id, pack_digest)
) WITH (toast_tuple_target = 2712);

CREATE TABLE spare_celebrity_embeddings (
    celebrity_id uuid NOT NULL REFERENCES celebrities (id) ON DELETE CASCADE,
    pack_digest text NOT NULL,
    embedding vector(512) STORAGE PLAIN NOT NULL,
    PRIMARY KEY (celebrity_id, pack_digest)
) WITH (toast_tuple_target = 2712);

-- The application fills and removes them.
ALTER TABLE spare_face_embeddings ENABLE ROW LEVEL SECURITY;
ALTER TABLE spare_celebrity_embeddings ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON spare_face_embeddings, spare_celebrity_embeddings FROM authenticated, anon;
GRANT SELECT, INSERT, DELETE ON spare_face_embeddings, spare_celebrity_embeddings TO semblance_service;
CREATE POLICY spare_face_embeddings_service ON spare_face_embeddings TO semblance_service
    USING (true) WITH CHECK (true);
CREATE POLICY spare_celebrity_embeddings_service ON spare_celebrity_embeddings TO semblance_service
    USING (true) WITH CHECK (true);

-- The pack in force -----------------------------------------------------------------------------------
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

-- Only the owner changes which pack is in force.
ALTER TABLE pack_in_force ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON pack_in_force, face_embeddings, celebrity_embeddings, faces_in_force FROM authenticated, anon;
REVOKE EXECUTE ON FUNCTION face_traits_by(text), celebrity_traits_by(text), note_spare_celebrity_changes()
    FROM PUBLIC, authenticated, anon;
GRANT SELECT ON pack_in_force, face_embeddings, celebrity_embeddings, faces_in_force TO semblance_service;
GRANT EXECUTE ON FUNCTION face_traits_by(text), celebrity_traits_by(text) TO semblance_service;
CREATE POLICY pack_in_force_service ON pack_in_force FOR SELECT TO semblance_service USING (true);

-- Deleted pictures ------------------------------------------------------------------------------------
-- Pictures whose row was deleted, and that must still be removed from the storage. Written by the transaction that
-- deletes the row or changes its picture, deleted once the storage has removed the files. The API does not serve
-- pictures listed here.
CREATE TABLE object_deletions (
    key text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    due_at timestamptz NOT NULL DEFAULT now(),
    -- The table whose row named the picture; null if there was no row yet. The old app keeps the pictures of each table
    -- in a separate place.
    named_by text CHECK (named_by IN ('faces', 'celebrities', 'babies'))
);
CREATE INDEX idx_object_deletions_due_at ON object_deletions (due_at);

-- Whether a row names an address of another host, as rows of the old app may, and not a key of ours. Inlined into the
-- queries that call it.
CREATE FUNCTION is_foreign_address(named text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN named ~ '^https?://';

-- Whether a row names the picture. Rows of the old app may share one.
CREATE FUNCTION is_named_picture(key text) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = ''
    AS $$
        SELECT EXISTS (SELECT FROM public.faces WHERE image_path = key)
            OR EXISTS (SELECT FROM public.celebrities WHERE image_path = key)
            OR EXISTS (SELECT FROM public.babies WHERE image_url = key)
    $$;

-- The argument names the column. The address of another host is not ours to remove. A picture that another row still
-- names stays.
CREATE FUNCTION record_object_deletion() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
DECLARE
    gone text;
BEGIN
    EXECUTE format('SELECT ($1).%I', TG_ARGV[0]) INTO gone USING OLD;
    IF NOT public.is_foreign_address(gone) AND NOT public.is_named_picture(gone) THEN
        INSERT INTO public.object_deletions (key, named_by) VALUES (gone, TG_TABLE_NAME) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER faces_picture_deleted AFTER DELETE ON faces
    FOR EACH ROW EXECUTE FUNCTION record_object_deletion('image_path');
CREATE TRIGGER faces_picture_replaced AFTER UPDATE OF image_path ON faces
    FOR EACH ROW WHEN (OLD.image_path <> NEW.image_path)
    EXECUTE FUNCTION record_object_deletion('image_path');
CREATE TRIGGER celebrities_picture_deleted AFTER DELETE ON celebrities
    FOR EACH ROW EXECUTE FUNCTION record_object_deletion('image_path');
CREATE TRIGGER celebrities_picture_replaced AFTER UPDATE OF image_path ON celebrities
    FOR EACH ROW WHEN (OLD.image_path <> NEW.image_path)
    EXECUTE FUNCTION record_object_deletion('image_path');
CREATE TRIGGER babies_picture_deleted AFTER DELETE ON babies
    FOR EACH ROW EXECUTE FUNCTION record_object_deletion('image_url');
CREATE TRIGGER babies_picture_replaced AFTER UPDATE OF image_url ON babies
    FOR EACH ROW WHEN (OLD.image_url <> NEW.image_url)
    EXECUTE FUNCTION record_object_deletion('image_url');

-- A celebrity's key is derived from the picture, so a celebrity who is added again gets the key of the deleted one.
CREATE INDEX idx_celebrities_image_path ON celebrities (image_path);

-- Hashed, because rows of the old app may hold anything.
CREATE INDEX idx_faces_image_path ON faces USING hash (image_path);
CREATE INDEX idx_babies_image_url ON babies USING hash (image_url);

-- Pictures that were sent in chats, by key.
CREATE INDEX idx_messages_image ON messages USING hash (content) WHERE message_type = 'image';

ALTER TABLE object_deletions ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON object_deletions FROM authenticated, anon;
REVOKE EXECUTE ON FUNCTION record_object_deletion(), is_named_picture(text), is_foreign_address(text)
    FROM PUBLIC, authenticated, anon;
GRANT EXECUTE ON FUNCTION is_named_picture(text), is_foreign_address(text) TO semblance_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON object_deletions TO semblance_service;
CREATE POLICY object_deletions_service ON object_deletions TO semblance_service USING (true) WITH CHECK (true);

-- Realtime on Supabase --------------------------------------------------------------------------------
-- The tables that clients can subscribe to, those of Supabase's publication. Row-level security decides which rows a
-- client hears of, and the privileges on columns which values. Other servers have no such publication.

DO $$
DECLARE
    wanted record;
BEGIN
    -- A publication of all tables, or of whole schemas, already has them and takes no lists of columns.
    IF EXISTS (
        SELECT FROM pg_publication
        WHERE pubname = 'supabase_realtime' AND NOT puballtables
            AND NOT EXISTS (SELECT FROM pg_publication_namespace WHERE pnpubid = pg_publication.oid)
    ) THEN
        FOR wanted IN
            SELECT *
            FROM (VALUES
                -- Everything except the factors and weights.
                ('matches', ' (id, face_a_id, face_b_id, similarity_score, created_at)'),
                ('messages', ''),
                ('notifications', ''),
                ('mutual_connections', ''),
                -- Presence, and the other columns that contacts may read. No e-mail address leaves the database.
                ('profiles', ' (id, name, gender, school, default_face_id, last_seen)')
            ) AS tables (name, columns)
            -- Tables that are published already stay as they are.
            WHERE NOT EXISTS (
                SELECT FROM pg_publication_tables
                WHERE pubname = 'supabase_realtime' AND schemaname = 'public' AND tablename = name
            )
            -- With another replica identity than the primary key, a list of columns would make every update fail.
            AND (columns = '' OR EXISTS (
                SELECT FROM pg_class
                WHERE relnamespace = 'public'::regnamespace AND relname = name AND relreplident = 'd'
            ))
        LOOP
            EXECUTE format('ALTER PUBLICATION supabase_realtime ADD TABLE public.%I%s', wanted.name, wanted.columns);
        END LOOP;
    END IF;
END
$$;

-- Schools -------------------------------------------------------------------------------------------
-- Schools with several names. A school that is not listed here is compared by its name, letter by letter.
CREATE TABLE schools (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    -- Domains of e-mail addresses that may sign up, with all their subdomains.
    domains text[] NOT NULL DEFAULT '{}' CHECK (array_position(domains, NULL) IS NULL),
    aliases text[] NOT NULL DEFAULT '{}' CHECK (array_position(aliases, NULL) IS NULL),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_schools_page ON schools (name, id);

-- The names by which schools are found. The primary key ensures that a name means one school.
CREATE TABLE school_keys (
    key text PRIMARY KEY CHECK (key <> ''),
    school_id uuid NOT NULL REFERENCES schools (id) ON DELETE CASCADE,
    is_domain boolean NOT NULL,
    CONSTRAINT school_keys_domain_check CHECK (
        NOT is_domain OR (key ~ '^([a-z0-9-]+\.)+[a-z0-9-]+$' AND key !~ '^(edu|ac)\.[a-z]{2}$')
    )
);
CREATE INDEX idx_school_keys_school_id ON school_keys (school_id);

-- What profiles are compared by: the id of a known school, or the name of an unknown one.
ALTER TABLE profiles
    ADD COLUMN school_id uuid REFERENCES schools (id) ON DELETE SET NULL,
    ADD COLUMN school_key text GENERATED ALWAYS AS (coalesce(school_id::text, school)) STORED;
CREATE INDEX idx_profiles_school_id ON profiles (school_id) WHERE school_id IS NOT NULL;
CREATE INDEX idx_profiles_school_key_gender ON profiles (school_key, gender) WHERE profile_type = 'user';
CREATE INDEX idx_profiles_school_folded ON profiles (fold_school(school) text_pattern_ops);

-- What profiles that state this name of a school are compared by.
CREATE FUNCTION school_key_of(said text) RETURNS text
    LANGUAGE sql STABLE SET search_path = ''
    AS $$
        SELECT coalesce(
            (SELECT school_id::text FROM public.school_keys WHERE key = public.fold_school(said)), said
        )
    $$;

-- The school of an e-mail address, as profiles call it, or null: the longest domain of a school at or above the
-- address, else the name that is registered below .edu, .edu.xx and .ac.xx. Users with a school may sign up.
-- semblance/schools.py does the same as the second part.
CREATE FUNCTION school_of_address(address text) RETURNS text
    LANGUAGE sql STABLE SET search_path = ''
    AS $$
        SELECT coalesce(
            (
                SELECT key
                FROM public.school_keys
                WHERE is_domain AND key = ANY (ARRAY(
                    SELECT array_to_string(labels[n:], '.') FROM generate_series(1, cardinality(labels) - 1) AS n
                ))
                ORDER BY length(key) DESC
                LIMIT 1
            ),
            substring(host FROM '(?:^|\.)([a-z0-9-]+\.(?:edu|(?:edu|ac)\.[a-z]{2}))$')
        )
        FROM (
            SELECT lower(substring(address FROM '^[^@]+@((?:[A-Za-z0-9-]+\.)+[A-Za-z0-9-]+)$')) AS host
            -- RFC 3696: no address is longer.
            WHERE length(address) <= 320
        ) AS found
        CROSS JOIN LATERAL string_to_array(host, '.') AS labels
    $$;

-- A change of schools reads all profiles, so none may change its school meanwhile. The lock is taken by the statement,
-- before it locks rows; in another order the two would deadlock.
CREATE FUNCTION hold_schools() RETURNS trigger
    LANGUAGE plpgsql SET search_path = ''
    AS $$
BEGIN
    IF TG_TABLE_NAME = 'schools' THEN
        PERFORM pg_advisory_xact_lock(4862537199014825361);
    ELSE
        PERFORM pg_advisory_xact_lock_shared(4862537199014825361);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER schools_hold BEFORE INSERT OR UPDATE OR DELETE ON schools
    FOR EACH STATEMENT EXECUTE FUNCTION hold_schools();
CREATE TRIGGER profiles_hold_schools BEFORE INSERT OR UPDATE OF school ON profiles
    FOR EACH STATEMENT EXECUTE FUNCTION hold_schools();

CREATE FUNCTION find_school() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    NEW.school_id := (SELECT school_id FROM public.school_keys WHERE key = public.fold_school(NEW.school));
    RETURN NEW;
END
$$;

CREATE TRIGGER profiles_find_school BEFORE INSERT OR UPDATE OF school ON profiles
    FOR EACH ROW EXECUTE FUNCTION find_school();

-- Profiles that state a new name of a school join it; those that state a removed name leave it.
CREATE FUNCTION name_school() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    DELETE FROM public.school_keys WHERE school_id = NEW.id;
    INSERT INTO public.school_keys (key, school_id, is_domain)
    SELECT public.fold_school(said), NEW.id, bool_or(is_domain)
    FROM (
        SELECT unnest(NEW.name || NEW.aliases) AS said, false AS is_domain
        UNION ALL
        SELECT unnest(NEW.domains), true
    ) AS names
    GROUP BY 1;
    UPDATE public.profiles
    SET school_id = NULL
    WHERE school_id = NEW.id AND NOT EXISTS (
        SELECT
        FROM public.school_keys
        WHERE school_keys.school_id = NEW.id AND key = public.fold_school(profiles.school)
    );
    UPDATE public.profiles
    SET school_id = NEW.id
    WHERE public.fold_school(school) = ANY (ARRAY(SELECT key FROM public.school_keys WHERE school_id = NEW.id))
        AND school_id IS DISTINCT FROM NEW.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER schools_updated_at BEFORE UPDATE ON schools
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER schools_name AFTER INSERT OR UPDATE ON schools
    FOR EACH ROW EXECUTE FUNCTION name_school();

CREATE TRIGGER profiles_rematch AFTER UPDATE OF school, school_id, gender ON profiles
    FOR EACH ROW WHEN (
        NEW.profile_type = 'user'
        AND (OLD.school_key IS DISTINCT FROM NEW.school_key OR OLD.gender IS DISTINCT FROM NEW.gender)
    ) EXECUTE FUNCTION rematch_profile();

ALTER TABLE schools ENABLE ROW LEVEL SECURITY;
ALTER TABLE school_keys ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON schools, school_keys FROM authenticated, anon;
REVOKE EXECUTE ON FUNCTION
    school_key_of(text), school_of_address(text), hold_schools(), find_school(), name_school()
    FROM PUBLIC, authenticated, anon;
GRANT EXECUTE ON FUNCTION school_key_of(text), school_of_address(text) TO semblance_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON schools TO semblance_service;
GRANT SELECT ON school_keys TO semblance_service;
CREATE POLICY schools_service ON schools TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY school_keys_service ON school_keys TO semblance_service USING (true) WITH CHECK (true);

-- Presence that is hidden ----------------------------------------------------------------------------
-- Whether others may see when the user is online.
ALTER TABLE profiles
    ADD COLUMN show_presence boolean NOT NULL DEFAULT true,
    ADD CONSTRAINT profiles_presence_check CHECK (show_presence OR (NOT online AND last_seen IS NULL));

-- Nothing is stored about users who hide their presence, so that queries, policies and publications have nothing to
-- reveal. Users who show it again are seen now.
CREATE FUNCTION hide_presence() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    IF NOT NEW.show_presence THEN
        NEW.online := false;
        NEW.last_seen := NULL;
    ELSIF NOT OLD.show_presence THEN
        NEW.online := EXISTS (SELECT FROM public.realtime_sessions WHERE profile_id = NEW.id);
        NEW.last_seen := now();
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER profiles_hide_presence BEFORE UPDATE OF online, last_seen, show_presence ON profiles
    FOR EACH ROW WHEN (NOT (OLD.show_presence AND NEW.show_presence)) EXECUTE FUNCTION hide_presence();

-- Also when the user changes the setting.
CREATE TRIGGER profiles_tell_presence AFTER UPDATE OF online, show_presence ON profiles
    FOR EACH ROW WHEN (OLD.online IS DISTINCT FROM NEW.online) EXECUTE FUNCTION tell_of_presence();

-- The users with whom a profile has a blocked connection.
CREATE FUNCTION blocked_profiles(whose uuid) RETURNS uuid[]
    LANGUAGE sql STABLE STRICT SET search_path = ''
    AS $$
        SELECT ARRAY(
            SELECT CASE WHEN profile_a_id = whose THEN profile_b_id ELSE profile_a_id END
            FROM public.mutual_connections
            WHERE (profile_a_id = whose OR profile_b_id = whose) AND status = 'blocked'
        )
    $$;

REVOKE EXECUTE ON FUNCTION hide_presence(), blocked_profiles(uuid) FROM PUBLIC, authenticated, anon;
GRANT EXECUTE ON FUNCTION blocked_profiles(uuid) TO semblance_service;
GRANT UPDATE (show_presence) ON profiles TO semblance_service;

-- Functions by name --------------------------------------------------------------------------------
-- What clients of the old app call or read by name.

-- Columns that clients of the old app expect. Nothing fills them.
ALTER TABLE matches ADD COLUMN IF NOT EXISTS match_type text;
ALTER TABLE messages ADD COLUMN IF NOT EXISTS ai_status text;
ALTER TABLE babies ADD COLUMN IF NOT EXISTS ai_status text;

-- 1 - cosine.
CREATE FUNCTION embedding_distance(a vector, b vector) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN a <=> b;

-- The same in half precision, the order of the vector indexes. Normalized, no vector leaves the range of a half.
CREATE FUNCTION index_distance(a vector, b vector) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN l2_normalize(a)::halfvec(512) <=> l2_normalize(b)::halfvec(512);

-- A face of a lower quality is in no match: MIN_QUALITY of matching/scoring.py.
CREATE FUNCTION least_quality() RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 0.6;

-- The pack in force, or else that of most embeddings. A client's embedding does not say which pack it is from, so this
-- one is assumed.
CREATE FUNCTION pack_of_faces() RETURNS text
    LANGUAGE sql STABLE
    RETURN coalesce((SELECT pack_digest FROM pack_in_force), CASE
        WHEN (SELECT min(pack_digest) = max(pack_digest) FROM faces) THEN (SELECT min(pack_digest) FROM faces)
        ELSE (
            SELECT pack_digest FROM faces WHERE pack_digest IS NOT NULL
            GROUP BY pack_digest ORDER BY count(*) DESC, pack_digest LIMIT 1
        )
    END);

CREATE FUNCTION pack_of_celebrities() RETURNS text
    LANGUAGE sql STABLE
    RETURN coalesce((SELECT pack_digest FROM pack_in_force), CASE
        WHEN (SELECT min(pack_digest) = max(pack_digest) FROM celebrities)
            THEN (SELECT min(pack_digest) FROM celebrities)
        ELSE (
            SELECT pack_digest FROM celebrities WHERE pack_digest IS NOT NULL
            GROUP BY pack_digest ORDER BY count(*) DESC, pack_digest LIMIT 1
        )
    END);

-- What find_similar_faces finds for an end user: their own faces, the only ones they may read. Runs as its owner,
-- because end users may not read embeddings.
CREATE FUNCTION find_own_similar_faces(
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

-- The faces most like an embedding, by the vector index, of any school and gender; quality and pack as in
-- matching. Runs with the caller's rights: among all faces if the caller may read embeddings, else among their own.
-- The threshold applies after the limit, so that the search ends when it has enough.
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
                ORDER BY public.index_distance(embedding, query_embedding)
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
                ORDER BY public.index_distance(spare.embedding, query_embedding)
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

-- The same among the users that a user of this school and gender is matched with: those of the same school who state
-- another gender. None if either is null, as in matching. They are few and compared one by one.
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

-- The celebrities most like an embedding; face_id is the celebrity's id. Runs as its owner, because the gallery is
-- public but its embeddings are not.
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
                        ORDER BY public.index_distance(embedding, query_embedding)
                        LIMIT photos
                    )
                    UNION ALL
                    (
                        SELECT id, person, public.embedding_distance(spare.embedding, query_embedding)
                        FROM public.spare_celebrity_embeddings AS spare
                        JOIN public.celebrity_traits ON id = spare.celebrity_id
                        WHERE spare.pack_digest = pack AND quality >= public.least_quality()
                        ORDER BY public.index_distance(spare.embedding, query_embedding)
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

-- The score of a match of two faces by the current weights, and its factors. No row if a face is missing, has no
-- embedding yet, or is of another pack.
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

-- End users may call what shows them nothing that the policies hide; users without an account may call nothing.
REVOKE EXECUTE ON FUNCTION
    find_own_similar_faces(vector, float8, integer, uuid),
    find_similar_faces(vector, float8, integer, uuid),
    find_similar_faces_filtered(vector, text, text, float8, integer, uuid),
    find_celebrity_matches(vector, integer),
    calculate_advanced_similarity(uuid, uuid)
    FROM PUBLIC, authenticated, anon;
GRANT EXECUTE ON FUNCTION
    find_own_similar_faces(vector, float8, integer, uuid),
    find_similar_faces(vector, float8, integer, uuid),
    find_celebrity_matches(vector, integer)
    TO authenticated;
GRANT EXECUTE ON FUNCTION
    find_similar_faces(vector, float8, integer, uuid),
    find_similar_faces_filtered(vector, text, text, float8, integer, uuid),
    find_celebrity_matches(vector, integer),
    calculate_advanced_similarity(uuid, uuid)
    TO semblance_service;

-- The role of servers on Supabase, which called the old functions.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
        EXECUTE 'GRANT EXECUTE ON FUNCTION
            find_similar_faces(vector, float8, integer, uuid),
            find_similar_faces_filtered(vector, text, text, float8, integer, uuid),
            find_celebrity_matches(vector, integer),
            calculate_advanced_similarity(uuid, uuid)
            TO service_role';
    END IF;
END
$$;

-- Packs of matches ----------------------------------------------------------------------------------
-- The pack whose embeddings a match was found with. Unknown for older matches, which a rematch completes.
ALTER TABLE matches ADD COLUMN pack_digest text;
ALTER TABLE celebrity_matches ADD COLUMN pack_digest text;

-- People of the gallery -----------------------------------------------------------------------------
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

ALTER TABLE people ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON people FROM authenticated, anon;
REVOKE EXECUTE ON FUNCTION
    person_key(text, text), person_of(text, text, uuid), person_called(text, text, uuid), assign_person()
    FROM PUBLIC, authenticated, anon;
GRANT EXECUTE ON FUNCTION person_key(text, text), person_of(text, text, uuid), person_called(text, text, uuid)
    TO semblance_service;
GRANT SELECT, INSERT ON people TO semblance_service;
CREATE POLICY people_service ON people TO semblance_service USING (true) WITH CHECK (true);

-- Searches among users' faces ------------------------------------------------------------------------
-- Who searched among users' faces, with which filters, and how many they found; never the photo or its embedding. There
-- are no references, so that a record outlives the account and the key.
CREATE TABLE face_searches (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    profile_id uuid,
    api_key_id uuid,
    school text,
    gender text CHECK (gender IN ('male', 'female', 'other')),
    max_results integer NOT NULL CHECK (max_results > 0),
    results integer NOT NULL CHECK (results >= 0),
    request_id text NOT NULL,
    CONSTRAINT face_searches_who_check CHECK (num_nonnulls(profile_id, api_key_id) = 1)
);
CREATE INDEX idx_face_searches_created_at ON face_searches (created_at DESC);

-- The application adds records with the current time, changes none, and removes none of the last 30 days.
ALTER TABLE face_searches ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON face_searches FROM authenticated, anon;
GRANT
    SELECT (created_at),
    INSERT (profile_id, api_key_id, school, gender, max_results, results, request_id),
    DELETE
    ON face_searches TO semblance_service;
CREATE POLICY face_searches_service_read ON face_searches FOR SELECT TO semblance_service USING (true);
CREATE POLICY face_searches_service_insert ON face_searches FOR INSERT TO semblance_service WITH CHECK (true);
CREATE POLICY face_searches_service_delete ON face_searches FOR DELETE TO semblance_service
    USING (created_at < now() - interval '30 days');

-- Admins read them.
GRANT SELECT ON face_searches TO authenticated;
CREATE POLICY face_searches_admin_read ON face_searches FOR SELECT TO authenticated
    USING ((SELECT is_admin()));

-- Settings -------------------------------------------------------------------------------------------
-- Settings an admin can change, with their defaults; values that are already set stay.
INSERT INTO system_settings (key, value, description) VALUES
    (
        'matching_weights',
        '{"embedding": 0.20, "geometry": 0.20, "age": 0.15,
          "symmetry": 0.15, "skin_tone": 0.15, "expression": 0.15}',
        'Weights of the six factors of a match, each 0..1, together 1.'
    ),
    ('match_threshold', '0.5', 'Least score of a match that is kept, 0..1.'),
    ('allow_non_edu_emails', 'false', 'Whether addresses that are of no school may sign up.'),
    ('daily_photo_upload_limit', '20', 'Photos a user may upload a day; -1 unlimited, 0 none.'),
    ('daily_baby_generation_limit', '10', 'Baby pictures a user may have made a day; -1 unlimited, 0 none.'),
    ('text_generation', 'false', 'Whether texts are suggested to users who have switched it on.'),
    ('profile_search', 'false', 'Whether people find others of their school by what these say about themselves.'),
    ('message_search', 'false', 'Whether users who want it find messages of their chats by what these mean.')
ON CONFLICT (key) DO NOTHING;

-- Sessions -------------------------------------------------------------------------------------------
-- Sessions that were revoked before their tokens expire, for all replicas. A key is a SHA-256 of the token, so that
-- what is stored cannot be used to sign in.
CREATE TABLE revoked_sessions (
    key bytea PRIMARY KEY CHECK (octet_length(key) = 32),
    -- Not a reference: the end of a session must outlast its profile.
    profile_id uuid NOT NULL,
    -- When the token expires.
    expires_at timestamptz NOT NULL
);
CREATE INDEX idx_revoked_sessions_expires_at ON revoked_sessions (expires_at);

-- Ends the session's open connections on every replica. No client receives this event.
CREATE FUNCTION tell_of_ended_session() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    INSERT INTO public.events (type, audience, payload)
    VALUES ('session_ended', ARRAY[NEW.profile_id], jsonb_build_object('key', encode(NEW.key, 'hex')));
    RETURN NULL;
END
$$;

CREATE TRIGGER revoked_sessions_tell AFTER INSERT ON revoked_sessions
    FOR EACH ROW EXECUTE FUNCTION tell_of_ended_session();

ALTER TABLE revoked_sessions ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON revoked_sessions FROM authenticated, anon;
REVOKE EXECUTE ON FUNCTION tell_of_ended_session() FROM PUBLIC, authenticated, anon;
GRANT SELECT, INSERT, DELETE ON revoked_sessions TO semblance_service;
CREATE POLICY revoked_sessions_service ON revoked_sessions TO semblance_service USING (true) WITH CHECK (true);

-- The console -----------------------------------------------------------------------------------------
-- Signing in to it, and the record of what operators change. Of codes and sessions only the SHA-256 is
-- stored. Both are 256 random bits, which cannot be guessed, so a slow hash as for passwords would add nothing.

-- A code is exchanged for a session once, and then gone.
CREATE TABLE console_codes (
    hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    expires_at timestamptz NOT NULL DEFAULT now() + interval '2 minutes'
);

CREATE TABLE console_sessions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    -- The admin who signed in with an access token, and the session of that token; null after a code.
    profile_id uuid REFERENCES profiles (id) ON DELETE CASCADE,
    token_session bytea CHECK (octet_length(token_session) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL DEFAULT now() + interval '12 hours',
    revoked_at timestamptz,
    CONSTRAINT console_sessions_who_check CHECK ((profile_id IS NULL) = (token_session IS NULL))
);
CREATE INDEX idx_console_sessions_profile_id ON console_sessions (profile_id);
CREATE INDEX idx_console_sessions_created_at ON console_sessions (created_at DESC, id DESC);

-- Who changed what, by page or by command, without secrets. Nothing is referenced, so that a record outlives what it
-- is about.
CREATE TABLE audit_log (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    -- Not of the transaction, so that the records of one keep their order.
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL CHECK (actor <> ''),
    action text NOT NULL CHECK (action ~ '^[a-z_]+\.[a-z_]+$'),
    target text NOT NULL,
    before jsonb,
    after jsonb
);
CREATE INDEX idx_audit_log_at ON audit_log (at DESC, id DESC);

-- What operators are told.
CREATE FUNCTION tell_operators(kind text, data jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    IF kind IS NULL OR kind NOT IN ('ingestion', 'jobs', 'gallery', 'settings', 'users', 'audit') THEN
        RAISE check_violation USING MESSAGE = format('operators are not told of %L', kind);
    END IF;
    INSERT INTO public.events (type, payload) VALUES ('admin', data || jsonb_build_object('kind', kind));
END
$$;

CREATE FUNCTION tell_of_audit() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    PERFORM public.tell_operators('audit', jsonb_build_object(
        'id', NEW.id, 'actor', NEW.actor, 'action', NEW.action, 'target', NEW.target
    ));
    RETURN NULL;
END
$$;

CREATE TRIGGER audit_log_tell AFTER INSERT ON audit_log
    FOR EACH ROW EXECUTE FUNCTION tell_of_audit();

-- The open connections of a session end with it, on every replica.
CREATE FUNCTION tell_of_ended_console_session() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    IF TG_OP = 'DELETE' OR (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL) THEN
        INSERT INTO public.events (type, payload)
        VALUES ('session_ended', jsonb_build_object('key', encode(OLD.hash, 'hex')));
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER console_sessions_tell AFTER UPDATE OF revoked_at OR DELETE ON console_sessions
    FOR EACH ROW EXECUTE FUNCTION tell_of_ended_console_session();

-- A session of an admin ends when they stop being one.
CREATE FUNCTION end_console_sessions_of_profile() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    UPDATE public.console_sessions SET revoked_at = now() WHERE profile_id = NEW.id AND revoked_at IS NULL;
    -- Connections opened with an access token, which belong to no such session.
    INSERT INTO public.events (type, audience, payload)
    VALUES ('session_ended', ARRAY[NEW.id], jsonb_build_object('channel', 'admin'));
    RETURN NULL;
END
$$;

CREATE TRIGGER profiles_end_console_sessions AFTER UPDATE OF role ON profiles
    FOR EACH ROW WHEN (OLD.role = 'admin' AND NEW.role <> 'admin')
    EXECUTE FUNCTION end_console_sessions_of_profile();

-- And when they sign out of the session that they signed in with. The lock waits for a session that is being made.
CREATE FUNCTION end_console_sessions_of_token() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    PERFORM FROM public.profiles WHERE id = NEW.profile_id FOR NO KEY UPDATE;
    UPDATE public.console_sessions
    SET revoked_at = now()
    WHERE profile_id = NEW.profile_id AND token_session = NEW.key AND revoked_at IS NULL;
    RETURN NULL;
END
$$;

CREATE TRIGGER revoked_sessions_end_console_sessions AFTER INSERT ON revoked_sessions
    FOR EACH ROW EXECUTE FUNCTION end_console_sessions_of_token();

-- Searches among users' faces from the console.
ALTER TABLE face_searches
    ADD COLUMN console_session_id uuid,
    DROP CONSTRAINT face_searches_who_check,
    ADD CONSTRAINT face_searches_who_check CHECK (
        num_nonnulls(profile_id, api_key_id, console_session_id) = 1
    );
GRANT INSERT (console_session_id) ON face_searches TO semblance_service;

-- Nothing of this is for end users. The application adds to the audit log, at the time it is, and changes nothing.
ALTER TABLE console_codes ENABLE ROW LEVEL SECURITY;
ALTER TABLE console_sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON console_codes, console_sessions, audit_log FROM authenticated, anon;
REVOKE EXECUTE ON FUNCTION
    tell_operators(text, jsonb), tell_of_audit(), tell_of_ended_console_session(), end_console_sessions_of_profile(),
    end_console_sessions_of_token()
    FROM PUBLIC, authenticated, anon;
GRANT EXECUTE ON FUNCTION tell_operators(text, jsonb) TO semblance_service;
GRANT SELECT, INSERT (hash), DELETE ON console_codes TO semblance_service;
GRANT SELECT, INSERT (hash, profile_id, token_session), UPDATE (last_used_at, revoked_at), DELETE
    ON console_sessions TO semblance_service;
GRANT SELECT, INSERT (actor, action, target, before, after) ON audit_log TO semblance_service;
CREATE POLICY console_codes_service ON console_codes TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY console_sessions_service ON console_sessions TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY audit_log_service_read ON audit_log FOR SELECT TO semblance_service USING (true);
CREATE POLICY audit_log_service_insert ON audit_log FOR INSERT TO semblance_service WITH CHECK (true);

-- Jobs of operators -------------------------------------------------------------------------------
-- The Ray jobs that operators start, as far as Ray itself does not keep them: who started one, and how far it is.
CREATE TABLE ray_jobs (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('ingest', 'rematch', 'reembed', 'import_qdrant')),
    arguments text[] NOT NULL,
    started_by text NOT NULL,
    status text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'running', 'succeeded', 'failed', 'stopped')),
    -- Told by the job: how much is done of how much, and its second count.
    done bigint NOT NULL DEFAULT 0 CHECK (done >= 0),
    total bigint CHECK (total >= 0),
    counted bigint NOT NULL DEFAULT 0 CHECK (counted >= 0),
    -- Why it failed.
    message text,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    -- Ray's, as the job itself states it; that of a job which has stated none yet is the id.
    submission_id text,
    -- When the job last told how far it is.
    heard_at timestamptz
);
CREATE INDEX idx_ray_jobs_created_at ON ray_jobs (created_at, id);

-- Applying the current rules to stored matches: what is asked for, and how far it is. A worker holds one until
-- its lease ends; then another goes on.
CREATE TABLE rescorings (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    started_by text NOT NULL,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'running', 'completed', 'failed')),
    total bigint CHECK (total >= 0),
    done bigint NOT NULL DEFAULT 0 CHECK (done >= 0),
    rescored bigint NOT NULL DEFAULT 0 CHECK (rescored >= 0),
    removed bigint NOT NULL DEFAULT 0 CHECK (removed >= 0),
    error_message text,
    created_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    locked_by uuid,
    lease_until timestamptz
);
CREATE UNIQUE INDEX rescorings_one_open ON rescorings ((true)) WHERE status IN ('pending', 'running');
CREATE INDEX idx_rescorings_created_at ON rescorings (created_at DESC);

-- Lists of match jobs page by page, and the throughput of an hour.
CREATE INDEX idx_match_jobs_status_page ON match_jobs (status, created_at, id);

ALTER TABLE ray_jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE rescorings ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON ray_jobs, rescorings FROM authenticated, anon;
GRANT SELECT, INSERT, UPDATE ON ray_jobs, rescorings TO semblance_service;
CREATE POLICY ray_jobs_service ON ray_jobs TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY rescorings_service ON rescorings TO semblance_service USING (true) WITH CHECK (true);

-- Upkeep of the gallery -------------------------------------------------------------------------------
-- People of the gallery are listed and searched by name.
ALTER TABLE people ADD COLUMN folded_name text NOT NULL GENERATED ALWAYS AS (fold_school(name)) STORED;
CREATE INDEX idx_people_folded_name ON people (folded_name, id);

-- What operators deleted from the gallery, for as long as it can be undone: each deletion, and the rows that went with
-- it as JSON, which keeps every value of theirs exactly.
CREATE TABLE gallery_deletions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    people integer NOT NULL CHECK (people >= 0),
    photos integer NOT NULL CHECK (photos >= 0),
    deleted_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_gallery_deletions_deleted_at ON gallery_deletions (deleted_at);

CREATE TABLE gallery_deleted_rows (
    deletion_id uuid NOT NULL REFERENCES gallery_deletions (id) ON DELETE CASCADE,
    relation text NOT NULL
        CHECK (relation IN ('people', 'celebrities', 'celebrity_matches', 'spare_celebrity_embeddings')),
    content jsonb NOT NULL
);
CREATE INDEX idx_gallery_deleted_rows_deletion_id ON gallery_deleted_rows (deletion_id);

ALTER TABLE gallery_deletions ENABLE ROW LEVEL SECURITY;
ALTER TABLE gallery_deleted_rows ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON gallery_deletions, gallery_deleted_rows FROM authenticated, anon;
GRANT SELECT, INSERT, UPDATE, DELETE ON gallery_deletions TO semblance_service;
GRANT SELECT, INSERT ON gallery_deleted_rows TO semblance_service;
CREATE POLICY gallery_deletions_service ON gallery_deletions TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY gallery_deleted_rows_service ON gallery_deleted_rows TO semblance_service USING (true) WITH CHECK (true);

-- Operators edit people, merge and split them, and delete photos.
GRANT UPDATE (name, bio, category, gender), DELETE ON people TO semblance_service;
GRANT UPDATE (name, bio, category, gender, person_id), DELETE ON celebrities TO semblance_service;

-- Ingestions ------------------------------------------------------------------------------------------
-- Ingestions that operators start from the console: where the pictures come from, and how far each is.
CREATE TABLE ingestions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    -- A folder, manifest or bucket; null: files that were uploaded.
    source text,
    -- Of pictures without one.
    category text,
    started_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- The job that works on it, or did last; null while files arrive.
    ray_job uuid REFERENCES ray_jobs (id),
    -- When each input had been tried once.
    listed_at timestamptz,
    -- When the job had nothing more to do; null again while another one works on decisions.
    ended_at timestamptz,
    total bigint NOT NULL DEFAULT 0 CHECK (total >= 0),
    done bigint NOT NULL DEFAULT 0 CHECK (done >= 0),
    taken bigint NOT NULL DEFAULT 0 CHECK (taken >= 0),
    -- The gallery had these pictures before, or they came twice.
    present bigint NOT NULL DEFAULT 0 CHECK (present >= 0)
);
CREATE INDEX idx_ingestions_created_at ON ingestions (created_at DESC, id DESC);
CREATE INDEX idx_ingestions_ray_job ON ingestions (ray_job);

-- What was uploaded. An archive comes in parts; the job takes its members out and removes the parts.
CREATE TABLE ingestion_files (
    ingestion_id uuid NOT NULL REFERENCES ingestions (id) ON DELETE CASCADE,
    number integer NOT NULL CHECK (number >= 0),
    kind text NOT NULL CHECK (kind IN ('file', 'part', 'member')),
    -- Of the part or member in its archive.
    place integer NOT NULL DEFAULT 0 CHECK (place >= 0),
    -- As the client or the archive calls it, with slashes; no file has this name.
    path text NOT NULL,
    size bigint NOT NULL CHECK (size >= 0),
    -- In the picture store; null for a member that was not taken out, for this reason.
    key text,
    outcome text,
    reason text,
    -- How many parts the archive has.
    parts integer CHECK (parts > place),
    PRIMARY KEY (ingestion_id, number, kind, place),
    CHECK ((kind = 'part') = (parts IS NOT NULL)),
    CHECK ((key IS NULL) = (outcome IS NOT NULL))
);
CREATE INDEX idx_ingestion_files_key ON ingestion_files (key);

-- Inputs that were not taken, until an operator has decided.
CREATE TABLE ingestion_refusals (
    -- Follows from the ingestion and the input.
    id uuid PRIMARY KEY,
    ingestion_id uuid NOT NULL REFERENCES ingestions (id) ON DELETE CASCADE,
    label text NOT NULL,
    -- The picture and what is stated of it; null where that cannot be used.
    item jsonb,
    outcome text NOT NULL,
    reason text NOT NULL,
    decision text CHECK (decision IN ('largest', 'anyway', 'again', 'discard')),
    settled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX idx_ingestion_refusals_open ON ingestion_refusals (ingestion_id, created_at, id)
    WHERE settled_at IS NULL;
CREATE INDEX idx_ingestion_refusals_ingestion_id ON ingestion_refusals (ingestion_id);

ALTER TABLE ingestions ENABLE ROW LEVEL SECURITY;
ALTER TABLE ingestion_files ENABLE ROW LEVEL SECURITY;
ALTER TABLE ingestion_refusals ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON ingestions, ingestion_files, ingestion_refusals FROM authenticated, anon;
GRANT SELECT, INSERT, UPDATE, DELETE ON ingestions, ingestion_files, ingestion_refusals TO semblance_service;
CREATE POLICY ingestions_service ON ingestions TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY ingestion_files_service ON ingestion_files TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY ingestion_refusals_service ON ingestion_refusals TO semblance_service USING (true) WITH CHECK (true);

-- Texts -----------------------------------------------------------------------------------------------
-- Texts are suggested only where an admin has switched it on (system_settings.text_generation), and only between users
-- who have both switched it on.
ALTER TABLE profiles ADD COLUMN text_generation boolean NOT NULL DEFAULT false;

-- The message that this one answers.
ALTER TABLE messages ADD COLUMN in_reply_to uuid REFERENCES messages (id) ON DELETE SET NULL;
CREATE INDEX idx_messages_in_reply_to ON messages (in_reply_to);

-- The queue of texts to make, as match_jobs. The attempt of a job is also its fence. The old app may have an
-- inference_jobs of another shape, which its workers go on reading while both apps use the database.
CREATE TABLE inference_queue (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    -- reply: a suggested answer to a message. icebreaker: a better beginning of a chat. embed: a vector of a text.
    kind text NOT NULL CHECK (kind IN ('reply', 'icebreaker', 'embed')),
    -- Whose text it is about, and whose limits count.
    profile_id uuid NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    message_id uuid REFERENCES messages (id) ON DELETE CASCADE,
    -- For whom a reply is suggested. Only they see it.
    recipient_id uuid REFERENCES profiles (id) ON DELETE CASCADE,
    status text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'processing', 'completed', 'failed')),
    input jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(input) = 'object'),
    -- Of a reply: the draft, until it is sent or dismissed.
    result jsonb CHECK (jsonb_typeof(result) = 'object'),
    idempotency_key text CHECK (idempotency_key <> ''),
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    max_attempts integer NOT NULL DEFAULT 5 CHECK (max_attempts >= 1),
    error_message text,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    completed_at timestamptz,
    run_after timestamptz NOT NULL DEFAULT now(),
    locked_by uuid,
    lease_until timestamptz,
    CONSTRAINT inference_queue_key UNIQUE (profile_id, idempotency_key),
    CONSTRAINT inference_queue_subject_check CHECK (
        (kind = 'embed' OR message_id IS NOT NULL) AND (kind = 'reply') = (recipient_id IS NOT NULL)
    )
);
CREATE INDEX idx_inference_queue_message_id ON inference_queue (message_id);
CREATE UNIQUE INDEX idx_inference_queue_text ON inference_queue (message_id, kind) WHERE kind <> 'embed';
CREATE INDEX idx_inference_queue_open ON inference_queue (profile_id) WHERE status IN ('pending', 'processing');
CREATE INDEX idx_inference_queue_recipient_id ON inference_queue (recipient_id, completed_at DESC);
CREATE INDEX idx_inference_queue_due ON inference_queue (run_after, created_at) WHERE status = 'pending';
CREATE INDEX idx_inference_queue_lease ON inference_queue (lease_until) WHERE status = 'processing';
CREATE INDEX idx_inference_queue_finished ON inference_queue (completed_at) WHERE status IN ('completed', 'failed');

-- Calls of providers of texts are logged beside those of providers of pictures; one row for each job that has ended.
ALTER TABLE generation_logs
    ADD COLUMN kind text NOT NULL DEFAULT 'baby' CHECK (kind IN ('baby', 'reply', 'icebreaker', 'embed')),
    ADD COLUMN inference_job_id uuid UNIQUE REFERENCES inference_queue (id) ON DELETE SET NULL,
    ADD COLUMN tokens_in integer CHECK (tokens_in >= 0),
    ADD COLUMN tokens_out integer CHECK (tokens_out >= 0),
    ADD COLUMN provider_seconds float8 CHECK (provider_seconds >= 0);
-- What a user has used today.
CREATE INDEX idx_generation_logs_texts ON generation_logs (profile_id, created_at) WHERE kind <> 'baby';

-- Whether texts may be made of what these two users wrote, or of one user if both are the same.
CREATE FUNCTION texts_wanted(a uuid, b uuid) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = ''
    AS $$
        SELECT EXISTS (SELECT FROM public.system_settings WHERE key = 'text_generation' AND value = 'true')
            AND EXISTS (SELECT FROM public.profiles WHERE id = a AND text_generation)
            AND EXISTS (SELECT FROM public.profiles WHERE id = b AND text_generation)
    $$;

-- Wakes the workers at commit.
CREATE FUNCTION notify_inference_queue() RETURNS trigger
    LANGUAGE plpgsql SET search_path = ''
    AS $$
BEGIN
    PERFORM pg_notify('inference_queue', '');
    RETURN NULL;
END
$$;

CREATE TRIGGER inference_queue_notify AFTER INSERT ON inference_queue
    FOR EACH STATEMENT EXECUTE FUNCTION notify_inference_queue();
CREATE TRIGGER inference_queue_notify_return AFTER UPDATE OF status ON inference_queue
    FOR EACH ROW WHEN (NEW.status = 'pending') EXECUTE FUNCTION notify_inference_queue();

-- Shows the state of a job on its message, and tells the user who asked, and of a draft the one it is for.
CREATE FUNCTION tell_of_inference() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
DECLARE
    connection uuid;
BEGIN
    UPDATE public.messages
    SET ai_status = CASE NEW.status WHEN 'pending' THEN 'queued' ELSE NEW.status END
    WHERE id = NEW.message_id
    RETURNING connection_id INTO connection;
    INSERT INTO public.events (type, audience, payload)
    VALUES ('inference', ARRAY[NEW.profile_id], jsonb_build_object(
        'id', NEW.id,
        'kind', NEW.kind,
        'connection_id', connection,
        'message_id', NEW.message_id,
        'status', CASE NEW.status WHEN 'pending' THEN 'queued' ELSE NEW.status END,
        'error', NEW.error_message
    ));
    IF NEW.kind = 'reply' AND NEW.status IN ('completed', 'failed') THEN
        INSERT INTO public.events (type, audience, payload)
        VALUES ('draft', ARRAY[NEW.recipient_id], jsonb_build_object(
            'id', NEW.id,
            'connection_id', connection,
            'message_id', NEW.message_id,
            'attempt', NEW.attempts,
            'status', CASE NEW.status WHEN 'completed' THEN 'ready' ELSE 'failed' END,
            'content', NEW.result ->> 'text',
            'model', NEW.result ->> 'model'
        ));
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER inference_queue_tell AFTER INSERT ON inference_queue
    FOR EACH ROW WHEN (NEW.kind <> 'embed') EXECUTE FUNCTION tell_of_inference();
CREATE TRIGGER inference_queue_tell_status AFTER UPDATE OF status ON inference_queue
    FOR EACH ROW WHEN (NEW.kind <> 'embed' AND OLD.status IS DISTINCT FROM NEW.status)
    EXECUTE FUNCTION tell_of_inference();

-- Tells of the beginning of a draft while it is written, if the worker still holds the job in this attempt.
CREATE FUNCTION tell_of_draft(job uuid, worker uuid, attempt integer, so_far text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    INSERT INTO public.events (type, audience, payload)
    SELECT 'draft', ARRAY[held.recipient_id], jsonb_build_object(
        'id', held.id,
        'connection_id', messages.connection_id,
        'message_id', held.message_id,
        'attempt', held.attempts,
        'status', 'writing',
        'content', so_far,
        'model', NULL
    )
    FROM public.inference_queue AS held
    JOIN public.messages ON messages.id = held.message_id
    WHERE held.id = job AND held.kind = 'reply' AND held.status = 'processing' AND held.locked_by = worker
        AND held.attempts = attempt;
    RETURN FOUND;
END
$$;

-- A new chat begins with a template at once; a better one is queued if both users have switched it on.
CREATE FUNCTION queue_icebreaker() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    INSERT INTO public.inference_queue (kind, profile_id, message_id)
    SELECT 'icebreaker', NEW.sender_id, NEW.id
    FROM public.mutual_connections
    WHERE id = NEW.connection_id AND public.texts_wanted(profile_a_id, profile_b_id);
    RETURN NULL;
END
$$;

CREATE TRIGGER messages_queue_icebreaker AFTER INSERT ON messages
    FOR EACH ROW WHEN (NEW.message_type = 'icebreaker') EXECUTE FUNCTION queue_icebreaker();

-- A replaced icebreaker is told as a message with the same id.
CREATE TRIGGER messages_tell_content AFTER UPDATE OF content ON messages
    FOR EACH ROW WHEN (OLD.content IS DISTINCT FROM NEW.content) EXECUTE FUNCTION tell_of_message();

ALTER TABLE inference_queue ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON inference_queue FROM authenticated, anon;
REVOKE EXECUTE ON FUNCTION
    texts_wanted(uuid, uuid), tell_of_inference(), tell_of_draft(uuid, uuid, integer, text), queue_icebreaker()
    FROM PUBLIC, authenticated, anon;
GRANT EXECUTE ON FUNCTION texts_wanted(uuid, uuid), tell_of_draft(uuid, uuid, integer, text) TO semblance_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON inference_queue TO semblance_service;
GRANT UPDATE (text_generation) ON profiles TO semblance_service;
CREATE POLICY inference_queue_service ON inference_queue TO semblance_service USING (true) WITH CHECK (true);

-- People of the app ------------------------------------------------------------------------------------
-- Operators look after them: they block them, change their roles and delete them.
ALTER TABLE profiles ADD COLUMN blocked_at timestamptz;
CREATE INDEX idx_profiles_blocked_at ON profiles (blocked_at) WHERE blocked_at IS NOT NULL;

-- Whether a match has a face of somebody who is blocked.
ALTER TABLE matches ADD COLUMN hidden boolean NOT NULL DEFAULT false;

-- The application sees neither blocked profiles nor their matches and chats. No statement has to think of it, now or later:
-- a blocked user is found by no search, matched with nobody, shown in no list, and written to by nobody. LIMIT keeps the
-- planner from reading all profiles at once.
ALTER POLICY profiles_service ON profiles USING (blocked_at IS NULL) WITH CHECK (blocked_at IS NULL);
ALTER POLICY matches_service ON matches USING (NOT hidden) WITH CHECK (NOT hidden);
ALTER POLICY mutual_connections_service ON mutual_connections USING (
    (SELECT true FROM profiles WHERE profiles.id = profile_a_id LIMIT 1)
    AND (SELECT true FROM profiles WHERE profiles.id = profile_b_id LIMIT 1)
);

CREATE FUNCTION is_blocked(whose uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $$
        SELECT EXISTS (SELECT FROM public.profiles WHERE id = whose AND blocked_at IS NOT NULL)
    $$;

-- End users who talk to the database themselves see no blocked profile either, and nothing once they are blocked.
ALTER POLICY matches_public_read ON matches USING (NOT hidden);
ALTER POLICY profiles_contacts_read ON profiles
    USING (id = ANY ((SELECT my_contacts())::uuid[]) AND blocked_at IS NULL);

CREATE OR REPLACE FUNCTION is_admin() RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $$
        SELECT EXISTS (
            SELECT FROM public.profiles WHERE id = auth.uid() AND role = 'admin' AND blocked_at IS NULL
        )
    $$;

CREATE FUNCTION am_blocked() RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $$
        SELECT public.is_blocked(auth.uid())
    $$;

CREATE POLICY profiles_not_blocked ON profiles AS RESTRICTIVE TO authenticated USING (NOT (SELECT am_blocked()));
CREATE POLICY faces_not_blocked ON faces AS RESTRICTIVE TO authenticated USING (NOT (SELECT am_blocked()));
CREATE POLICY celebrity_matches_not_blocked ON celebrity_matches AS RESTRICTIVE TO authenticated
    USING (NOT (SELECT am_blocked()));
CREATE POLICY reactions_not_blocked ON reactions AS RESTRICTIVE TO authenticated USING (NOT (SELECT am_blocked()));
CREATE POLICY babies_not_blocked ON babies AS RESTRICTIVE TO authenticated USING (NOT (SELECT am_blocked()));
CREATE POLICY match_jobs_not_blocked ON match_jobs AS RESTRICTIVE TO authenticated USING (NOT (SELECT am_blocked()));
CREATE POLICY mutual_connections_not_blocked ON mutual_connections AS RESTRICTIVE TO authenticated
    USING (NOT (SELECT am_blocked()));
CREATE POLICY messages_not_blocked ON messages AS RESTRICTIVE TO authenticated USING (NOT (SELECT am_blocked()));
CREATE POLICY notifications_not_blocked ON notifications AS RESTRICTIVE TO authenticated
    USING (NOT (SELECT am_blocked()));
CREATE POLICY user_daily_quotas_not_blocked ON user_daily_quotas AS RESTRICTIVE TO authenticated
    USING (NOT (SELECT am_blocked()));

-- Matches that are stored while somebody is being blocked: the references to their faces have waited for that.
CREATE FUNCTION hide_matches() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
DECLARE
    changed bigint;
BEGIN
    IF EXISTS (SELECT FROM public.profiles WHERE blocked_at IS NOT NULL) THEN
        UPDATE public.matches
        SET hidden = true
        WHERE id IN (
            SELECT added.id
            FROM added
            JOIN public.faces ON faces.id IN (face_a_id, face_b_id)
            JOIN public.profiles ON profiles.id = profile_id
            WHERE blocked_at IS NOT NULL
        );
        GET DIAGNOSTICS changed = ROW_COUNT;
        PERFORM public.change_match_count(-changed);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER matches_hide AFTER INSERT ON matches
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION hide_matches();

-- What operators do with accounts, one at a time: the lock holds until the end of the transaction. Each function
-- returns what came of it: missing, last_admin, unchanged or changed.
CREATE FUNCTION lock_account(whose uuid, may_act boolean) RETURNS text
    LANGUAGE plpgsql SET search_path = ''
    AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(6117802645530842177);
    PERFORM FROM public.profiles WHERE id = whose AND profile_type = 'user' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'missing';
    ELSIF NOT may_act
        AND EXISTS (SELECT FROM public.profiles WHERE id = whose AND role = 'admin' AND blocked_at IS NULL)
        AND NOT EXISTS (SELECT FROM public.profiles WHERE id <> whose AND role = 'admin' AND blocked_at IS NULL)
    THEN
        RETURN 'last_admin';
    END IF;
    RETURN 'changed';
END
$$;

CREATE FUNCTION change_role(whose uuid, given text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
DECLARE
    outcome text := public.lock_account(whose, given = 'admin');
BEGIN
    IF outcome = 'changed' THEN
        UPDATE public.profiles SET role = given WHERE id = whose AND role <> given;
        IF NOT FOUND THEN
            RETURN 'unchanged';
        END IF;
    END IF;
    RETURN outcome;
END
$$;

CREATE FUNCTION change_block(whose uuid, blocked boolean) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
DECLARE
    outcome text := public.lock_account(whose, NOT blocked);
    own uuid[];
    changed bigint;
BEGIN
    IF outcome <> 'changed' THEN
        RETURN outcome;
    END IF;
    UPDATE public.profiles
    SET blocked_at = CASE WHEN blocked THEN now() END
    WHERE id = whose AND (blocked_at IS NOT NULL) <> blocked;
    IF NOT FOUND THEN
        RETURN 'unchanged';
    END IF;
    -- Waits for those who are storing matches of these faces.
    PERFORM FROM public.faces WHERE profile_id = whose ORDER BY id FOR UPDATE;
    own := ARRAY(SELECT id FROM public.faces WHERE profile_id = whose);
    UPDATE public.matches
    SET hidden = blocked
    WHERE (face_a_id = ANY (own) OR face_b_id = ANY (own))
        AND hidden <> blocked
        AND (blocked OR NOT EXISTS (
            SELECT
            FROM public.faces JOIN public.profiles ON profiles.id = profile_id
            WHERE faces.id IN (face_a_id, face_b_id) AND blocked_at IS NOT NULL
        ));
    GET DIAGNOSTICS changed = ROW_COUNT;
    PERFORM public.change_match_count(CASE WHEN blocked THEN -changed ELSE changed END);
    IF blocked THEN
        UPDATE public.console_sessions SET revoked_at = now() WHERE profile_id = whose AND revoked_at IS NULL;
        INSERT INTO public.events (type, audience, payload)
        VALUES ('session_ended', ARRAY[whose], '{"everywhere": true}');
    END IF;
    RETURN 'changed';
END
$$;

-- Matches that somebody missed while they were blocked.
CREATE TRIGGER profiles_rematch_unblocked AFTER UPDATE OF blocked_at ON profiles
    FOR EACH ROW WHEN (OLD.blocked_at IS NOT NULL AND NEW.blocked_at IS NULL)
    EXECUTE FUNCTION rematch_profile();

-- With all that belongs to the profile; its pictures are removed by way of object_deletions. Notifications of others
-- about it are found by hand, because no foreign key does.
CREATE FUNCTION delete_account(whose uuid) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
DECLARE
    outcome text := public.lock_account(whose, false);
    own uuid[];
    gone_matches uuid[];
    gone_connections uuid[];
BEGIN
    IF outcome <> 'changed' THEN
        RETURN outcome;
    END IF;
    -- In the order in which others lock them: workers a match job before its face.
    PERFORM FROM public.match_jobs WHERE user_id = whose ORDER BY id FOR UPDATE;
    PERFORM FROM public.faces WHERE profile_id = whose ORDER BY id FOR UPDATE;
    own := ARRAY(SELECT id FROM public.faces WHERE profile_id = whose);
    gone_matches := ARRAY(
        SELECT id FROM public.matches WHERE face_a_id = ANY (own) OR face_b_id = ANY (own) ORDER BY id FOR UPDATE
    );
    gone_connections := ARRAY(
        SELECT id
        FROM public.mutual_connections
        WHERE whose IN (profile_a_id, profile_b_id) OR match_id = ANY (gone_matches)
    );
    DELETE FROM public.notifications
    WHERE user_id IN (
            SELECT profile_id
            FROM public.matches JOIN public.faces ON faces.id IN (face_a_id, face_b_id)
            WHERE matches.id = ANY (gone_matches)
            UNION
            SELECT unnest(ARRAY[profile_a_id, profile_b_id])
            FROM public.mutual_connections
            WHERE id = ANY (gone_connections)
        )
        AND (
            connection_id = ANY (gone_connections)
            OR related_id IN (
                SELECT unnest(gone_matches || gone_connections)
                UNION ALL
                SELECT id FROM public.babies WHERE match_id = ANY (gone_matches)
                UNION ALL
                SELECT id FROM public.messages WHERE connection_id = ANY (gone_connections)
            )
        );
    INSERT INTO public.events (type, audience, payload)
    VALUES ('session_ended', ARRAY[whose], '{"everywhere": true}');
    DELETE FROM public.profiles WHERE id = whose;
    RETURN 'changed';
END
$$;

-- People of the app as operators see them, also those who are blocked: the one whose id it is, or a page of all, the
-- latest first. beginning: of the name, the address or the school. The counts are only made for the rows of the page.
CREATE FUNCTION find_accounts(
    whose uuid, beginning text, wanted_role text, wanted_blocked boolean, before_time timestamptz, before_id uuid,
    most integer
) RETURNS TABLE (
    id uuid, name text, email text, gender text, school text, role text, image_path text, last_seen timestamptz,
    blocked_at timestamptz, created_at timestamptz, photos bigint, matches bigint
)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET plan_cache_mode = force_custom_plan
    AS $$
#variable_conflict use_column
DECLARE
    folded text := public.fold_school(beginning);
    -- Nothing that begins so comes after it.
    beyond text := folded || chr(1114111);
BEGIN
    RETURN QUERY
        WITH page AS MATERIALIZED (
            SELECT *
            FROM public.profiles
            WHERE profile_type = 'user'
                AND (whose IS NULL OR id = whose)
                AND (
                    folded = ''
                    OR (public.fold_school(name) ~>=~ folded AND public.fold_school(name) ~<~ beyond)
                    OR (email ~>=~ folded AND email ~<~ beyond)
                    OR (public.fold_school(school) ~>=~ folded AND public.fold_school(school) ~<~ beyond)
                )
                AND (wanted_role IS NULL OR role = wanted_role)
                AND (wanted_blocked IS NULL OR (blocked_at IS NOT NULL) = wanted_blocked)
                AND (before_time IS NULL OR (created_at, id) < (before_time, before_id))
            ORDER BY created_at DESC, id DESC
            LIMIT most
        )
        SELECT
            page.id, page.name, page.email, page.gender, page.school, page.role,
            (SELECT image_path FROM public.faces WHERE faces.id = default_face_id),
            page.last_seen, page.blocked_at, page.created_at,
            (SELECT count(*) FROM public.faces WHERE profile_id = page.id),
            (SELECT count(*) FROM public.faces JOIN public.matches ON face_a_id = faces.id WHERE profile_id = page.id)
            + (SELECT count(*) FROM public.faces JOIN public.matches ON face_b_id = faces.id WHERE profile_id = page.id)
        FROM page
        ORDER BY page.created_at DESC, page.id DESC;
END
$$;

CREATE INDEX idx_profiles_page ON profiles (created_at DESC, id DESC) WHERE profile_type = 'user';
-- Found by how the name, the address or the school begins.
CREATE INDEX idx_profiles_folded_name ON profiles (fold_school(name) text_pattern_ops);
CREATE INDEX idx_profiles_email_pattern ON profiles (email text_pattern_ops);

-- Jobs that wait in a paused queue, of which no worker tells.
CREATE FUNCTION tell_of_waiting_jobs() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    IF EXISTS (SELECT FROM public.system_settings WHERE key = 'match_jobs_paused' AND value = 'true') THEN
        PERFORM public.tell_operators('jobs', '{}');
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER match_jobs_tell_waiting AFTER INSERT ON match_jobs
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_waiting_jobs();

REVOKE EXECUTE ON FUNCTION
    is_blocked(uuid), am_blocked(), change_match_count(bigint), hide_matches(), lock_account(uuid, boolean),
    change_role(uuid, text), change_block(uuid, boolean), delete_account(uuid), tell_of_waiting_jobs(),
    find_accounts(uuid, text, text, boolean, timestamptz, uuid, integer)
    FROM PUBLIC, authenticated, anon;
GRANT EXECUTE ON FUNCTION am_blocked() TO authenticated;
GRANT EXECUTE ON FUNCTION
    is_blocked(uuid), change_role(uuid, text), change_block(uuid, boolean), delete_account(uuid),
    find_accounts(uuid, text, text, boolean, timestamptz, uuid, integer)
    TO semblance_service;

-- The revision of the schema, which only the owner can read in the table itself. Null in a database that was not
-- migrated.
CREATE FUNCTION schema_revision() RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    IF to_regclass('public.alembic_version') IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN (SELECT version_num FROM public.alembic_version);
END
$$;
REVOKE ALL ON FUNCTION schema_revision() FROM PUBLIC, anon, authenticated;
GRANT EXECUTE ON FUNCTION schema_revision() TO semblance_service;

-- The trace of the request that queued a job, as W3C Trace Context writes it; null if it was not traced. A transaction
-- says it by the setting of this name.
ALTER TABLE match_jobs
    ADD COLUMN traceparent text DEFAULT nullif(current_setting('semblance.traceparent', true), '');
ALTER TABLE inference_queue
    ADD COLUMN traceparent text DEFAULT nullif(current_setting('semblance.traceparent', true), '');

-- Growth -----------------------------------------------------------------------------------------------
-- Tables that grow without end are vacuumed and analyzed after a fiftieth of their rows has changed, not a fifth and a
-- tenth: of ten million matches the default leaves two million dead rows in every index, and statistics in which the
-- latest million is missing. Events and match jobs leave one to three dead rows each, because what changes is indexed.
ALTER TABLE matches SET (
    autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_vacuum_scale_factor = 0.02
);
ALTER TABLE celebrity_matches SET (
    autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_vacuum_scale_factor = 0.02
);
ALTER TABLE match_jobs SET (autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE events SET (autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE notifications SET (autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_scale_factor = 0.02);

-- A count goes up many times a day and is in no index: with room on its page, the new row needs no index entry.
ALTER TABLE user_daily_quotas SET (fillfactor = 70);

-- Old rows are removed.
GRANT DELETE ON generation_logs, user_daily_quotas TO semblance_service;
CREATE INDEX idx_user_daily_quotas_day ON user_daily_quotas (day);

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

-- Vectors of texts: of bios, and of messages while both users of a chat want theirs to be found by what they mean.

-- Whether a user wants that. Off until they switch it on, and for everybody until an admin does
-- (system_settings.message_search).
ALTER TABLE profiles ADD COLUMN message_search boolean NOT NULL DEFAULT false;

-- One vector for each chunk of a text, by one model or, while models change, by two. Vectors have unit length, and are
-- filled up with zeros if the model's are shorter. Only vectors of one model can be compared. The owner makes an HNSW
-- index of the bios of each model (db/text_indexes.py); messages are only compared within a user's own chats. The old
-- app may have a table `embeddings` of another shape.
CREATE TABLE text_embeddings (
    source text NOT NULL CHECK (source IN ('bio', 'message')),
    -- The profile whose bio it is, or the message.
    source_id uuid NOT NULL,
    chunk smallint NOT NULL CHECK (chunk >= 0),
    -- Digest of the text pack, or the name of a server's model.
    model text NOT NULL CHECK (model <> ''),
    -- SHA-256 of the whole text in UTF-8. If the text has another one, it has changed since.
    content_hash bytea NOT NULL CHECK (length(content_hash) = 32),
    embedding vector(384) STORAGE PLAIN NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- What deletes a text deletes its vectors.
    profile_id uuid GENERATED ALWAYS AS (CASE source WHEN 'bio' THEN source_id END) STORED
        REFERENCES profiles (id) ON DELETE CASCADE,
    message_id uuid GENERATED ALWAYS AS (CASE source WHEN 'message' THEN source_id END) STORED
        REFERENCES messages (id) ON DELETE CASCADE,
    PRIMARY KEY (source_id, source, model, chunk)
);
CREATE INDEX idx_text_embeddings_profile_id ON text_embeddings (profile_id) WHERE profile_id IS NOT NULL;
CREATE INDEX idx_text_embeddings_message_id ON text_embeddings (message_id) WHERE message_id IS NOT NULL;

-- The chats whose messages may have vectors now.
CREATE VIEW searchable_chats WITH (security_invoker = true) AS
SELECT chat.id
FROM mutual_connections AS chat
JOIN profiles AS one ON one.id = chat.profile_a_id
JOIN profiles AS other ON other.id = chat.profile_b_id
WHERE chat.status = 'active'
    AND one.message_search AND one.blocked_at IS NULL
    AND other.message_search AND other.blocked_at IS NULL
    AND EXISTS (SELECT FROM system_settings WHERE key = 'message_search' AND value = 'true');

-- The texts that may have vectors now.
CREATE VIEW embeddable_texts WITH (security_invoker = true) AS
SELECT
    'bio' AS source, id AS source_id, id AS profile_id, NULL::uuid AS message_id, NULL::uuid AS connection_id,
    bio AS content
FROM profiles
WHERE bio IS NOT NULL AND blocked_at IS NULL
    AND EXISTS (SELECT FROM system_settings WHERE key = 'profile_search' AND value = 'true')
UNION ALL
SELECT 'message', messages.id, sender_id, messages.id, connection_id, content
FROM messages
JOIN searchable_chats ON searchable_chats.id = connection_id
WHERE message_type <> 'image';

-- Deletes the vectors of what a text no longer says.
CREATE FUNCTION forget_text(kind text, whose uuid, now_says text) RETURNS void
    LANGUAGE sql SET search_path = ''
    AS $$
        DELETE FROM public.text_embeddings
        WHERE source_id = whose AND source = kind
            AND content_hash IS DISTINCT FROM sha256(convert_to(now_says, 'UTF8'))
    $$;

-- Queues a text that may have vectors, unless a job waits for it already, which will read what it says then.
CREATE FUNCTION queue_text(kind text, whose uuid) RETURNS void
    LANGUAGE plpgsql SET search_path = ''
    AS $$
BEGIN
    INSERT INTO public.inference_queue (kind, profile_id, message_id)
    SELECT 'embed', profile_id, message_id
    FROM public.embeddable_texts AS found
    WHERE found.source = queue_text.kind AND found.source_id = whose
        AND NOT EXISTS (
            SELECT
            FROM public.inference_queue AS job
            WHERE job.profile_id = found.profile_id AND job.message_id IS NOT DISTINCT FROM found.message_id
                AND job.kind = 'embed' AND job.status = 'pending'
        );
END
$$;

-- A bio that changes loses its vectors of all models at once, so that nobody is found by what they no longer say. A
-- job makes the new ones. A job that waits will read the new bio; one that is in work ends without effect.
CREATE FUNCTION index_bio() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    PERFORM public.forget_text('bio', NEW.id, NEW.bio);
    IF NEW.bio IS NULL THEN
        DELETE FROM public.bio_words WHERE profile_id = NEW.id;
        RETURN NULL;
    END IF;
    INSERT INTO public.bio_words (profile_id, words)
    VALUES (NEW.id, to_tsvector('pg_catalog.english', NEW.bio))
    ON CONFLICT (profile_id) DO UPDATE SET words = excluded.words;
    PERFORM public.queue_text('bio', NEW.id);
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
REVOKE ALL ON bio_words FROM authenticated, anon;
REVOKE EXECUTE ON FUNCTION index_bio() FROM PUBLIC, authenticated, anon;
GRANT UPDATE (bio) ON profiles TO semblance_service;
GRANT SELECT ON bio_words TO semblance_service;
CREATE POLICY bio_words_service ON bio_words TO semblance_service USING (true) WITH CHECK (true);

CREATE FUNCTION index_message() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        PERFORM public.forget_text('message', NEW.id, NEW.content);
    END IF;
    PERFORM public.queue_text('message', NEW.id);
    RETURN NULL;
END
$$;

CREATE TRIGGER messages_index AFTER INSERT ON messages
    FOR EACH ROW WHEN (NEW.message_type <> 'image') EXECUTE FUNCTION index_message();
CREATE TRIGGER messages_index_content AFTER UPDATE OF content ON messages
    FOR EACH ROW WHEN (NEW.message_type <> 'image' AND OLD.content IS DISTINCT FROM NEW.content)
    EXECUTE FUNCTION index_message();

-- Queues the messages of those of the chats that may have vectors; the messages of the others lose theirs, and the jobs
-- that wait. A worker that has claimed a job finds out when it stores the vectors.
CREATE FUNCTION index_chats(chats uuid[]) RETURNS void
    LANGUAGE plpgsql SET search_path = ''
    AS $$
DECLARE
    searchable uuid[] := ARRAY(SELECT id FROM public.searchable_chats WHERE id = ANY (chats));
    closed uuid[] := ARRAY(SELECT unnest(chats) EXCEPT SELECT unnest(searchable));
BEGIN
    DELETE FROM public.text_embeddings AS made
    USING public.messages
    WHERE made.message_id = messages.id AND messages.connection_id = ANY (closed);
    DELETE FROM public.inference_queue
    WHERE id IN (
        SELECT job.id
        FROM public.inference_queue AS job
        JOIN public.messages ON messages.id = job.message_id
        WHERE messages.connection_id = ANY (closed) AND job.kind = 'embed' AND job.status = 'pending'
        FOR UPDATE OF job SKIP LOCKED
    );
    INSERT INTO public.inference_queue (kind, profile_id, message_id)
    SELECT 'embed', profile_id, message_id
    FROM public.embeddable_texts AS found
    WHERE connection_id = ANY (searchable)
        -- Read once: looked up for each message, the jobs just queued would be read again and again.
        AND found.message_id NOT IN (
            SELECT job.message_id
            FROM public.inference_queue AS job
            WHERE job.message_id IS NOT NULL AND job.kind = 'embed' AND job.status = 'pending'
        );
END
$$;

CREATE FUNCTION index_chats_of_profile() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    PERFORM public.index_chats(ARRAY(
        SELECT id FROM public.mutual_connections WHERE profile_a_id = NEW.id OR profile_b_id = NEW.id
    ));
    RETURN NULL;
END
$$;

CREATE TRIGGER profiles_index_chats AFTER UPDATE OF message_search, blocked_at ON profiles
    FOR EACH ROW WHEN (
        OLD.message_search <> NEW.message_search
        OR NEW.message_search AND (OLD.blocked_at IS NULL) <> (NEW.blocked_at IS NULL)
    )
    EXECUTE FUNCTION index_chats_of_profile();

CREATE FUNCTION index_chat() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    PERFORM public.index_chats(ARRAY[NEW.id]);
    RETURN NULL;
END
$$;

CREATE TRIGGER mutual_connections_index AFTER UPDATE OF status ON mutual_connections
    FOR EACH ROW WHEN ((OLD.status = 'active') <> (NEW.status = 'active')) EXECUTE FUNCTION index_chat();

ALTER TABLE text_embeddings ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON text_embeddings, searchable_chats, embeddable_texts FROM authenticated, anon;
REVOKE EXECUTE ON FUNCTION
    forget_text(text, uuid, text), queue_text(text, uuid), index_message(), index_chats(uuid[]),
    index_chats_of_profile(), index_chat()
    FROM PUBLIC, authenticated, anon;
GRANT EXECUTE ON FUNCTION queue_text(text, uuid) TO semblance_service;
GRANT UPDATE (message_search) ON profiles TO semblance_service;
GRANT SELECT ON searchable_chats, embeddable_texts TO semblance_service;
GRANT SELECT, INSERT, DELETE ON text_embeddings TO semblance_service;
CREATE POLICY text_embeddings_service ON text_embeddings TO semblance_service USING (true) WITH CHECK (true);

CREATE INDEX idx_messages_words ON messages
    USING gin (to_tsvector('pg_catalog.english', content)) WHERE message_type <> 'image';

COMMIT;

-- Match jobs ------------------------------------------------------------------------------------------
-- The best `most` matches of a face with faces of other users that reach the threshold, with their factors; `pack` is the
-- pack by which all are compared. Inlined into the calling query, as is the next function.
CREATE FUNCTION best_users(
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

-- The same among the celebrities `candidates`. A person is matched once, by the best photo.
CREATE FUNCTION best_celebrities(
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

-- Writes the matches of a match job's face and completes the job. Returns no row, and changes nothing, if the worker no
-- longer has the job in this attempt; and nothing but the pack that serves the face now if that is another one. A match
-- that is stored with the same factors and pack is not written, so that nobody is notified of it again.
--   among_users: whether to match with other users. candidates: the celebrities that may be among the best; stored
--   matches with others are removed; null: do not match with celebrities. message: what the job leaves out, if anything.
--   seen_snapshot, seen_last, seen_server: up to where the log of changes had been read when these were chosen, as
--   gallery_changes reads it. If there is more since, or this may be another server or database, nothing is written and
--   outdated is true. Null: do not look.
-- One plan serves any face and any candidates. Without the setting a connection would plan its first five match jobs one
-- by one, which takes longer than the jobs.
CREATE FUNCTION complete_match_job(
    job uuid, worker uuid, attempt integer, pack text, least_quality float8, current_weights jsonb, threshold float8,
    most integer, among_users boolean, candidates uuid[], message text, seen_snapshot text,
    seen_last bigint, seen_server text
) RETURNS TABLE (serving_pack text, users integer, celebrities integer, outdated boolean)
    LANGUAGE plpgsql SET search_path = '' SET plan_cache_mode = force_generic_plan
    AS $$
DECLARE
    face uuid;
    seen pg_catalog.pg_snapshot := seen_snapshot;
BEGIN
    -- Index scans, however many changes the planner expects to be new.
    outdated := seen IS NOT NULL AND (
        coalesce((SELECT max(id) FROM public.celebrity_changes) > seen_last, false)
        OR (
            SELECT transaction
            FROM public.celebrity_changes
            WHERE transaction >= pg_snapshot_xmin(seen) AND NOT pg_visible_in_snapshot(transaction, seen)
            ORDER BY transaction
            LIMIT 1
        ) IS NOT NULL
        OR concat_ws(
            '/',
            (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()),
            'public.celebrities'::regclass::oid,
            pg_postmaster_start_time()
        ) <> seen_server
    );
    IF outdated THEN
        RETURN NEXT;
        RETURN;
    END IF;

    -- One match job at a time writes the matches of a face. Other rows may still refer to it. What follows sees what the
    -- job that had it before has written, because each statement has its own snapshot.
    SELECT faces.id, serving.pack_digest INTO face, serving_pack
    FROM public.match_jobs
    JOIN public.faces ON faces.id = match_jobs.face_id
    JOIN public.faces_in_force AS serving ON serving.face_id = faces.id
    WHERE match_jobs.id = job AND locked_by = worker AND attempts = attempt AND status = 'processing'
    FOR UPDATE OF match_jobs
    FOR NO KEY UPDATE OF faces;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF serving_pack <> pack THEN
        RETURN NEXT;
        RETURN;
    END IF;

    IF among_users THEN
        WITH best AS MATERIALIZED (
            SELECT * FROM public.best_users(face, pack, least_quality, current_weights, threshold, most)
        ),
        stored AS (
            INSERT INTO public.matches (
                face_a_id, face_b_id, similarity_score, factor_embedding, factor_geometry, factor_age,
                factor_symmetry, factor_skin_tone, factor_expression, weights, pack_digest
            )
            SELECT
                least(best.id, face), greatest(best.id, face), score, embedding, geometry, age, symmetry, skin_tone,
                expression, current_weights, pack
            FROM best
            -- In the order of pairs, so that match jobs with pairs in common cannot deadlock.
            ORDER BY least(best.id, face), greatest(best.id, face)
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
            WHERE matches.pack_digest IS DISTINCT FROM excluded.pack_digest OR public.match_differs(
                matches.weights, matches.factor_embedding, matches.factor_geometry,
                matches.factor_age, matches.factor_symmetry, matches.factor_skin_tone,
                matches.factor_expression,
                excluded.weights, excluded.factor_embedding, excluded.factor_geometry, excluded.factor_age,
                excluded.factor_symmetry, excluded.factor_skin_tone, excluded.factor_expression
            )
        )
        SELECT count(*) INTO users FROM best;
    END IF;

    IF candidates IS NOT NULL THEN
        WITH best AS MATERIALIZED (
            SELECT *
            FROM public.best_celebrities(
                face, pack, least_quality, current_weights, threshold, most, candidates
            )
        ),
        stale AS (
            DELETE FROM public.celebrity_matches
            WHERE face_id = face AND celebrity_id NOT IN (SELECT best.id FROM best)
        ),
        stored AS (
            INSERT INTO public.celebrity_matches (
                face_id, celebrity_id, similarity_score, factor_embedding, factor_geometry, factor_age,
                factor_symmetry, factor_skin_tone, factor_expression, weights, pack_digest
            )
            SELECT
                face, best.id, score, embedding, geometry, age, symmetry, skin_tone, expression, current_weights, pack
            FROM best
            ORDER BY best.id
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
            WHERE celebrity_matches.pack_digest IS DISTINCT FROM excluded.pack_digest OR public.match_differs(
                celebrity_matches.weights, celebrity_matches.factor_embedding, celebrity_matches.factor_geometry,
                celebrity_matches.factor_age, celebrity_matches.factor_symmetry, celebrity_matches.factor_skin_tone,
                celebrity_matches.factor_expression,
                excluded.weights, excluded.factor_embedding, excluded.factor_geometry, excluded.factor_age,
                excluded.factor_symmetry, excluded.factor_skin_tone, excluded.factor_expression
            )
        )
        SELECT count(*) INTO celebrities FROM best;
    END IF;

    -- The commit does not wait for the disk: after a crash of the server that loses it, the job is done again. What
    -- others then store about these matches waits, and takes this along, because the log is written in order.
    UPDATE public.match_jobs
    SET status = 'completed',
        completed_at = now(),
        user_matches = users,
        celebrity_matches = celebrities,
        error_message = message,
        locked_by = NULL,
        lease_until = NULL
    FROM set_config('synchronous_commit', 'off', true)
    WHERE id = job;
    RETURN NEXT;
END
$$;

-- As the version before calls it, which looked at the log itself and runs beside this one during an upgrade.
CREATE FUNCTION complete_match_job(
    job uuid, worker uuid, attempt integer, pack text, least_quality float8, current_weights jsonb, threshold float8,
    most integer, among_users boolean, candidates uuid[], message text
) RETURNS TABLE (serving_pack text, users integer, celebrities integer)
    LANGUAGE plpgsql SET search_path = ''
    AS $$
BEGIN
    RETURN QUERY
    SELECT done.serving_pack, done.users, done.celebrities
    FROM public.complete_match_job(
        job, worker, attempt, pack, least_quality, current_weights, threshold, most, among_users, candidates, message,
        NULL, NULL, NULL
    ) AS done;
END
$$;

REVOKE EXECUTE ON FUNCTION
    best_users(uuid, text, float8, jsonb, float8, integer),
    best_celebrities(uuid, text, float8, jsonb, float8, integer, uuid[]),
    complete_match_job(uuid, uuid, integer, text, float8, jsonb, float8, integer, boolean, uuid[], text),
    complete_match_job(
        uuid, uuid, integer, text, float8, jsonb, float8, integer, boolean, uuid[], text, text, bigint, text
    )
    FROM PUBLIC, authenticated, anon;
GRANT EXECUTE ON FUNCTION
    best_users(uuid, text, float8, jsonb, float8, integer),
    best_celebrities(uuid, text, float8, jsonb, float8, integer, uuid[]),
    complete_match_job(uuid, uuid, integer, text, float8, jsonb, float8, integer, boolean, uuid[], text),
    complete_match_job(
        uuid, uuid, integer, text, float8, jsonb, float8, integer, boolean, uuid[], text, text, bigint, text
    )
    TO semblance_service;
