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

-- Indexes --------------------------------------------------------------------------------------------

CREATE INDEX idx_profiles_school_gender ON profiles (school, gender) WHERE profile_type = 'user';
CREATE INDEX idx_profiles_last_seen ON profiles (last_seen);
CREATE INDEX idx_profiles_role ON profiles (role) WHERE role = 'admin';
CREATE INDEX idx_profiles_default_face_id ON profiles (default_face_id) WHERE default_face_id IS NOT NULL;

CREATE INDEX idx_faces_profile_id ON faces (profile_id);
CREATE UNIQUE INDEX ux_faces_profile_hash ON faces (profile_id, image_hash) WHERE image_hash IS NOT NULL;
CREATE INDEX idx_faces_image_hash ON faces (image_hash);
CREATE INDEX idx_faces_pack_digest ON faces (pack_digest);
CREATE INDEX faces_embedding_hnsw_idx ON faces
    USING hnsw (embedding vector_cosine_ops) WITH (m = 16, ef_construction = 64);
CREATE INDEX idx_faces_age ON faces (age) WHERE age IS NOT NULL;
CREATE INDEX idx_faces_quality ON faces (quality_score) WHERE quality_score IS NOT NULL;
CREATE INDEX idx_faces_expression ON faces (expression) WHERE expression IS NOT NULL;
CREATE INDEX idx_faces_attributes ON faces (age, gender, quality_score, expression)
    WHERE age IS NOT NULL AND quality_score IS NOT NULL;

CREATE INDEX idx_matches_face_a_id ON matches (face_a_id);
CREATE INDEX idx_matches_face_b_id ON matches (face_b_id);
CREATE INDEX idx_matches_similarity_score ON matches (similarity_score DESC);

-- HNSW, where the old app had IVFFlat with 100 lists. IVFFlat places its lists by the rows present when the index is
-- built: on an empty table they are meaningless, and while the gallery grows recall falls until it is rebuilt. HNSW is
-- built row by row, needs no training, and finds more in less time.
CREATE INDEX idx_celebrities_embedding ON celebrities
    USING hnsw (embedding vector_cosine_ops) WITH (m = 16, ef_construction = 64);
CREATE INDEX idx_celebrities_pack_digest ON celebrities (pack_digest);
CREATE INDEX idx_celebrities_created_at ON celebrities (created_at DESC);
CREATE INDEX idx_celebrities_category ON celebrities (category);
CREATE INDEX idx_celebrities_gender ON celebrities (gender);
CREATE INDEX idx_celebrities_age ON celebrities (age);
CREATE INDEX idx_celebrities_quality ON celebrities (quality_score);
CREATE INDEX idx_celebrities_expression ON celebrities (expression);
CREATE INDEX idx_celebrities_attributes ON celebrities (age, gender, quality_score, expression);

CREATE INDEX idx_celebrity_matches_face_id ON celebrity_matches (face_id);
CREATE INDEX idx_celebrity_matches_celebrity_id ON celebrity_matches (celebrity_id);
CREATE INDEX idx_celebrity_matches_similarity ON celebrity_matches (face_id, similarity_score DESC);
CREATE INDEX idx_celebrity_matches_created_at ON celebrity_matches (created_at DESC);

CREATE INDEX idx_reactions_type ON reactions (reaction_type);
CREATE INDEX idx_reactions_user_type ON reactions (user_profile_id, reaction_type);

CREATE INDEX idx_babies_match_id ON babies (match_id);
CREATE INDEX idx_babies_generated_by ON babies (generated_by_profile_id);
CREATE INDEX idx_babies_created_at ON babies (created_at DESC);

CREATE INDEX idx_match_jobs_status ON match_jobs (status, created_at);
CREATE INDEX idx_match_jobs_pending ON match_jobs (created_at) WHERE status = 'pending';
CREATE INDEX idx_match_jobs_job_type ON match_jobs (job_type);
CREATE INDEX idx_match_jobs_status_type_created ON match_jobs (status, job_type, created_at)
    WHERE status = 'pending';
CREATE INDEX idx_match_jobs_face_id ON match_jobs (face_id);
CREATE INDEX idx_match_jobs_user_id ON match_jobs (user_id);

CREATE INDEX idx_notifications_user_id ON notifications (user_id);
CREATE INDEX idx_notifications_created_at ON notifications (created_at DESC);
CREATE INDEX idx_notifications_read_at ON notifications (read_at) WHERE read_at IS NULL;

-- Two people are connected once, in either order.
CREATE UNIQUE INDEX ux_mutual_connections_pair ON mutual_connections
    (least(profile_a_id, profile_b_id), greatest(profile_a_id, profile_b_id));
CREATE INDEX idx_mutual_connections_profile_a ON mutual_connections (profile_a_id);
CREATE INDEX idx_mutual_connections_profile_b ON mutual_connections (profile_b_id);
CREATE INDEX idx_mutual_connections_match_id ON mutual_connections (match_id);
CREATE INDEX idx_mutual_connections_baby_id ON mutual_connections (baby_id) WHERE baby_id IS NOT NULL;
CREATE INDEX idx_mutual_connections_status ON mutual_connections (status);

CREATE INDEX idx_messages_connection_id ON messages (connection_id);
CREATE INDEX idx_messages_sender_id ON messages (sender_id);
CREATE INDEX idx_messages_created_at ON messages (created_at DESC);
CREATE INDEX idx_messages_read_at ON messages (read_at) WHERE read_at IS NULL;

CREATE INDEX idx_system_settings_updated_at ON system_settings (updated_at DESC);
CREATE INDEX idx_system_settings_updated_by ON system_settings (updated_by);

CREATE INDEX idx_generation_logs_created_at ON generation_logs (created_at DESC);
CREATE INDEX idx_generation_logs_profile_id ON generation_logs (profile_id);
CREATE INDEX idx_generation_logs_match_id ON generation_logs (match_id);
CREATE INDEX idx_generation_logs_baby_id ON generation_logs (baby_id);

-- Triggers -------------------------------------------------------------------------------------------
-- Functions that write for their caller run as their owner, and none searches names in a schema to which others can add
-- objects.

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

-- On Supabase the profile is created with the account. Nothing in the account's metadata may make the signup fail.
CREATE FUNCTION handle_new_user() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
DECLARE
    said jsonb := coalesce(NEW.raw_user_meta_data, '{}');
BEGIN
    INSERT INTO public.profiles (id, profile_type, email, name, gender, school)
    VALUES (
        NEW.id,
        'user',
        NEW.email,
        coalesce(said ->> 'name', said ->> 'full_name'),
        CASE WHEN said ->> 'gender' IN ('male', 'female', 'other') THEN said ->> 'gender' END,
        said ->> 'school'
    )
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

DO $$
BEGIN
    IF to_regclass('auth.users') IS NOT NULL THEN
        CREATE TRIGGER on_auth_user_created AFTER INSERT ON auth.users
            FOR EACH ROW EXECUTE FUNCTION public.handle_new_user();
    END IF;
END
$$;

-- Row-level security ---------------------------------------------------------------------------------
-- On Supabase every table here is reachable from the internet, so all are closed to everybody but their
-- owner and roles that bypass it; the policies open what the public may see and what admins may change.

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

CREATE POLICY celebrities_public_read ON celebrities FOR SELECT USING (true);

CREATE POLICY system_settings_public_read ON system_settings FOR SELECT USING (true);
CREATE POLICY system_settings_admin_insert ON system_settings FOR INSERT WITH CHECK ((SELECT is_admin()));
CREATE POLICY system_settings_admin_update ON system_settings FOR UPDATE
    USING ((SELECT is_admin())) WITH CHECK ((SELECT is_admin()));
CREATE POLICY system_settings_admin_delete ON system_settings FOR DELETE USING ((SELECT is_admin()));
