-- The old app's database on Supabase, as its migrations left it, and data as it was written.

ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;

CREATE SCHEMA extensions;
CREATE EXTENSION vector WITH SCHEMA extensions;
CREATE SCHEMA auth;
CREATE TABLE auth.users (id uuid PRIMARY KEY, email text, raw_user_meta_data jsonb);
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    )::uuid
$$;
GRANT USAGE ON SCHEMA auth, extensions TO anon, authenticated, service_role;
CREATE PUBLICATION supabase_realtime;

-- What pg_cron keeps of its jobs.
CREATE SCHEMA cron;
CREATE TABLE cron.job (jobid bigint, jobname text, schedule text, command text);
INSERT INTO cron.job VALUES
    (7, 'process-match-jobs', '* * * * *', 'SELECT net.http_post(url := ''…/functions/v1/match-generator'')'),
    (8, 'vacuum', '0 3 * * *', 'VACUUM');

SET search_path = public, extensions;

CREATE TABLE profiles (
    id uuid PRIMARY KEY REFERENCES auth.users (id) ON DELETE CASCADE,
    profile_type text NOT NULL DEFAULT 'user' CHECK (profile_type IN ('user', 'celebrity')),
    name text NOT NULL,
    email text UNIQUE,
    gender varchar(20),
    school text,
    default_face_id uuid,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);

CREATE TABLE faces (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    profile_id uuid NOT NULL REFERENCES profiles (id),
    image_path text NOT NULL,
    image_hash text,
    qdrant_point_id uuid,
    created_at timestamptz DEFAULT now()
);
ALTER TABLE profiles ADD CONSTRAINT profiles_default_face_id_fkey
    FOREIGN KEY (default_face_id) REFERENCES faces (id);
CREATE INDEX idx_faces_profile_id ON faces (profile_id);
CREATE UNIQUE INDEX ux_faces_profile_hash ON faces (profile_id, image_hash) WHERE image_hash IS NOT NULL;

CREATE TABLE matches (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    face_a_id uuid NOT NULL REFERENCES faces (id),
    face_b_id uuid NOT NULL REFERENCES faces (id),
    similarity_score double precision NOT NULL,
    created_at timestamptz DEFAULT now()
);

CREATE TABLE babies (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    match_id uuid NOT NULL REFERENCES matches (id) ON DELETE CASCADE,
    generated_by_profile_id uuid REFERENCES profiles (id) ON DELETE SET NULL,
    image_url text NOT NULL,
    created_at timestamptz DEFAULT now()
);

CREATE TABLE reactions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_profile_id uuid NOT NULL REFERENCES profiles (id),
    match_id uuid NOT NULL REFERENCES matches (id),
    reaction_type text NOT NULL,
    created_at timestamptz DEFAULT now(),
    UNIQUE (match_id, user_profile_id)
);

-- enable_pgvector_extension, add_face_embeddings
ALTER TABLE faces ADD COLUMN embedding vector(512);

-- create_vector_search_functions
CREATE FUNCTION find_similar_faces(
    query_embedding vector(512), match_threshold float DEFAULT 0.5, match_count int DEFAULT 20,
    exclude_profile_id uuid DEFAULT NULL
)
RETURNS TABLE (
    face_id uuid, profile_id uuid, similarity float, image_path text, profile_name text, profile_type text
)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
    SELECT f.id, f.profile_id, 1 - (f.embedding <=> query_embedding), f.image_path, p.name, p.profile_type
    FROM faces f JOIN profiles p ON f.profile_id = p.id
    WHERE f.embedding IS NOT NULL
        AND (exclude_profile_id IS NULL OR f.profile_id != exclude_profile_id)
        AND (1 - (f.embedding <=> query_embedding)) >= match_threshold
    ORDER BY f.embedding <=> query_embedding
    LIMIT match_count;
END;
$$;
GRANT EXECUTE ON FUNCTION find_similar_faces TO authenticated;

-- create_job_queue
CREATE TABLE jobs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    type text NOT NULL,
    payload jsonb,
    status text DEFAULT 'pending' CHECK (status IN ('pending', 'processing', 'completed', 'failed')),
    error text,
    scheduled_at timestamptz,
    created_at timestamptz DEFAULT now()
);

-- 20251029032359, 20251029032707, 20251029032815
CREATE TABLE notifications (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES profiles (id),
    type text NOT NULL CHECK (type IN ('baby_generated', 'mutual_match', 'new_message')),
    title text NOT NULL,
    message text,
    related_id uuid,
    related_type text CHECK (related_type IN ('baby', 'match', 'message', 'connection')),
    read_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_notifications_user_id ON notifications (user_id);
CREATE TABLE mutual_connections (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    profile_a_id uuid NOT NULL REFERENCES profiles (id),
    profile_b_id uuid NOT NULL REFERENCES profiles (id),
    match_id uuid NOT NULL REFERENCES matches (id),
    baby_id uuid REFERENCES babies (id),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'blocked', 'archived')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE messages (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    connection_id uuid NOT NULL REFERENCES mutual_connections (id),
    sender_id uuid NOT NULL REFERENCES profiles (id),
    content text NOT NULL,
    message_type text NOT NULL DEFAULT 'text' CHECK (message_type IN ('text', 'image', 'icebreaker')),
    read_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER PUBLICATION supabase_realtime ADD TABLE notifications, messages;

-- 20251030230740
CREATE TABLE match_jobs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    face_id uuid NOT NULL REFERENCES faces (id),
    user_id uuid NOT NULL REFERENCES profiles (id),
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'processing', 'completed', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL DEFAULT 3,
    error_message text,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    completed_at timestamptz
);
CREATE INDEX idx_match_jobs_status ON match_jobs (status, created_at);
CREATE FUNCTION auto_create_match_job() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO public.match_jobs (face_id, user_id, status) VALUES (NEW.id, NEW.profile_id, 'pending');
    RETURN NEW;
END;
$$;
CREATE TRIGGER trigger_auto_create_match_job AFTER INSERT ON faces
    FOR EACH ROW EXECUTE FUNCTION auto_create_match_job();
CREATE FUNCTION cleanup_old_match_jobs() RETURNS void LANGUAGE sql AS $$
    DELETE FROM public.match_jobs WHERE completed_at < now() - interval '7 days'
$$;

-- 20251031030857, 20251031033837
ALTER TABLE matches ADD COLUMN match_type text DEFAULT 'user';
CREATE FUNCTION create_profile_for_new_user() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO public.profiles (id, profile_type, name, email)
    VALUES (NEW.id, 'user', coalesce(NEW.raw_user_meta_data ->> 'name', 'New user'), NEW.email);
    RETURN NEW;
END;
$$;
CREATE TRIGGER create_profile_on_signup AFTER INSERT ON auth.users
    FOR EACH ROW EXECUTE FUNCTION public.create_profile_for_new_user();

-- 20251101070218, 20251101123419
CREATE TABLE celebrities (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    bio text,
    category text,
    gender text CHECK (gender IN ('male', 'female')),
    image_path text NOT NULL,
    image_hash text UNIQUE,
    embedding vector(512),
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);
CREATE TABLE celebrity_matches (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    face_id uuid NOT NULL REFERENCES faces (id),
    celebrity_id uuid NOT NULL REFERENCES celebrities (id),
    similarity_score double precision NOT NULL CHECK (similarity_score >= 0),
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    CONSTRAINT unique_face_celebrity UNIQUE (face_id, celebrity_id)
);

-- 20251106032110: half of what later versions have
ALTER TABLE faces
    ADD COLUMN age integer, ADD COLUMN gender text, ADD COLUMN quality_score real, ADD COLUMN blur_score float8,
    ADD COLUMN landmarks_68 jsonb, ADD COLUMN expression text;
CREATE INDEX idx_faces_quality ON faces (quality_score) WHERE quality_score IS NOT NULL;

CREATE TABLE system_settings (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    description text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid REFERENCES profiles (id)
);

-- The other plan: logs, statuses, a queue of another kind.
CREATE TABLE generation_logs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid,
    message_id uuid,
    status text NOT NULL,
    error text,
    latency_ms integer,
    created_at timestamptz DEFAULT now()
);
ALTER TABLE messages ADD COLUMN ai_status text;
CREATE TABLE inference_jobs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload jsonb);
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('a1b2c3d4e5f6');

CREATE FUNCTION update_updated_at_column() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at = now();
    RETURN NEW;
END;
$$;
CREATE TRIGGER update_profiles_updated_at BEFORE UPDATE ON profiles
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

ALTER TABLE profiles ENABLE ROW LEVEL SECURITY;
ALTER TABLE faces ENABLE ROW LEVEL SECURITY;
ALTER TABLE reactions ENABLE ROW LEVEL SECURITY;
ALTER TABLE matches ENABLE ROW LEVEL SECURITY;
ALTER TABLE notifications ENABLE ROW LEVEL SECURITY;
ALTER TABLE messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE mutual_connections ENABLE ROW LEVEL SECURITY;
ALTER TABLE celebrities ENABLE ROW LEVEL SECURITY;
ALTER TABLE match_jobs ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Profiles are viewable by everyone" ON profiles FOR SELECT USING (true);
CREATE POLICY "Users can update own profile" ON profiles FOR UPDATE USING (auth.uid() = id);
CREATE POLICY "Users can view own faces" ON faces FOR SELECT USING (auth.uid() = profile_id);
CREATE POLICY "Matches are public" ON matches FOR SELECT USING (true);
CREATE POLICY "Users manage own reactions" ON reactions FOR ALL TO authenticated
    USING (auth.uid() = user_profile_id) WITH CHECK (auth.uid() = user_profile_id);
CREATE POLICY "Users see own notifications" ON notifications FOR SELECT USING (auth.uid() = user_id);
CREATE POLICY "Users delete own notifications" ON notifications FOR DELETE USING (auth.uid() = user_id);
CREATE POLICY "Public read" ON celebrities FOR SELECT TO anon, authenticated USING (true);
CREATE POLICY "Members see connections" ON mutual_connections FOR SELECT
    USING (auth.uid() IN (profile_a_id, profile_b_id));
CREATE POLICY "Members see messages" ON messages FOR SELECT USING (EXISTS (
    SELECT FROM mutual_connections c WHERE c.id = connection_id AND auth.uid() IN (c.profile_a_id, c.profile_b_id)
));
CREATE POLICY "Members write messages" ON messages FOR INSERT WITH CHECK (sender_id = auth.uid() AND EXISTS (
    SELECT FROM mutual_connections c WHERE c.id = connection_id AND auth.uid() IN (c.profile_a_id, c.profile_b_id)
));
CREATE POLICY "Users see own jobs" ON match_jobs FOR SELECT USING (auth.uid() = user_id);

-- Data -------------------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.number(kind text, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
    RETURN md5(kind || n)::uuid;
CREATE FUNCTION pg_temp.direction(n bigint) RETURNS vector LANGUAGE sql IMMUTABLE RETURN (
    array_fill(.01::real, ARRAY[504])
    || ARRAY[n % 3, n % 5, n % 7, n % 11, n % 13, n % 17, n % 19, n % 23]::real[]
)::vector(512);

-- 1,000 users and 20 celebrities with an account.
ALTER TABLE auth.users DISABLE TRIGGER USER;
INSERT INTO auth.users SELECT pg_temp.number('user', n), 'user' || n || '@mit.edu' FROM generate_series(1, 1020) AS n;
ALTER TABLE auth.users ENABLE TRIGGER USER;
INSERT INTO profiles (id, profile_type, name, email, gender, school, created_at)
SELECT
    pg_temp.number('user', n), CASE WHEN n > 1000 THEN 'celebrity' ELSE 'user' END, 'User ' || n,
    'user' || n || '@mit.edu',
    (ARRAY['male', 'female', 'Male', 'F', 'other', 'nonbinary', NULL])[1 + n % 7],
    (ARRAY['MIT', 'Stanford', 'UIT'])[1 + n % 3],
    CASE WHEN n % 50 = 0 THEN NULL ELSE now() - n * interval '1 hour' END
FROM generate_series(1, 1020) AS n;

-- 3,000 faces, three a user, and two of each celebrity. Of the odd ones the embedding is in Qdrant alone.
ALTER TABLE faces DISABLE TRIGGER USER;
INSERT INTO faces (
    id, profile_id, image_path, image_hash, qdrant_point_id, embedding, age, gender, quality_score, blur_score,
    landmarks_68, expression
)
SELECT
    pg_temp.number('face', n),
    pg_temp.number('user', CASE WHEN n > 3000 THEN 1001 + (n - 3001) / 2 ELSE 1 + (n - 1) / 3 END),
    'user' || n || '/' || n || '.jpg',
    CASE WHEN n % 2 = 0 THEN md5(n::text) ELSE encode(sha256(n::text::bytea), 'hex') END,
    CASE WHEN n % 2 = 1 THEN pg_temp.number('point', n) END,
    CASE WHEN n % 2 = 0 THEN pg_temp.direction(n) END,
    CASE WHEN n % 2 = 0 THEN CASE WHEN n % 500 = 0 THEN 999 ELSE 20 + n % 30 END END,
    CASE WHEN n % 2 = 0 THEN (ARRAY['male', 'female', 'M', 'unknown'])[1 + n / 2 % 4] END,
    CASE WHEN n % 2 = 0 THEN .8 END,
    CASE WHEN n % 2 = 0 THEN CASE WHEN n % 100 = 0 THEN 352.5 ELSE .7 END END,
    CASE WHEN n % 4 = 0 THEN (SELECT jsonb_agg(jsonb_build_array(i, i)) FROM generate_series(1, 68) AS i)
        WHEN n % 500 = 2 THEN '[[1, 2]]' END,
    CASE WHEN n % 2 = 0 THEN (ARRAY['happy', 'surprised', 'Neutral'])[1 + n % 3] END
FROM generate_series(1, 3040) AS n;
ALTER TABLE faces ENABLE TRIGGER USER;
UPDATE profiles SET default_face_id = pg_temp.number('face', 3 * n)
FROM generate_series(1, 1000) AS n WHERE id = pg_temp.number('user', n);

INSERT INTO celebrities (id, name, category, gender, image_path, image_hash, embedding)
SELECT pg_temp.number('celebrity', n), 'Celebrity ' || n, 'actor', CASE n % 3 WHEN 0 THEN 'male' WHEN 1 THEN 'female' END,
    'celebrity' || n || '.jpg', md5('celebrity' || n), pg_temp.direction(n)
FROM generate_series(1, 100) AS n;
INSERT INTO celebrity_matches (face_id, celebrity_id, similarity_score)
SELECT pg_temp.number('face', n), pg_temp.number('celebrity', 1 + n % 100),
    CASE WHEN n % 40 = 0 THEN 1.25 ELSE .6 END
FROM generate_series(1, 500) AS n;

-- Matches as the old workers wrote them: in the order of discovery, some found from both sides, some twice.
INSERT INTO matches (id, face_a_id, face_b_id, similarity_score, created_at)
SELECT pg_temp.number('match', n), pg_temp.number('face', n), pg_temp.number('face', n + 600),
    CASE n % 10 WHEN 3 THEN -.2 WHEN 7 THEN 1.4 ELSE .5 + n % 10 / 40.0 END, now() - n * interval '1 minute'
FROM generate_series(1, 2000) AS n;
INSERT INTO matches (id, face_a_id, face_b_id, similarity_score)
SELECT pg_temp.number('match', 10000 + n), pg_temp.number('face', n + 600), pg_temp.number('face', n), .6
FROM generate_series(1, 200) AS n;
INSERT INTO matches (id, face_a_id, face_b_id, similarity_score)
SELECT pg_temp.number('match', 20000 + n), pg_temp.number('face', n), pg_temp.number('face', n + 600), .6
FROM generate_series(101, 150) AS n;
-- A user's face and a celebrity's.
INSERT INTO matches (id, face_a_id, face_b_id, similarity_score, match_type)
SELECT pg_temp.number('match', 30000 + n), pg_temp.number('face', n), pg_temp.number('face', 3000 + n), .7, 'celebrity'
FROM generate_series(1, 40) AS n;

-- Reactions to both halves of a double, once of the same kind and once of another.
INSERT INTO reactions (user_profile_id, match_id, reaction_type)
SELECT pg_temp.number('user', 1 + (n - 1) / 3), pg_temp.number('match', n), CASE WHEN n % 2 = 0 THEN 'like' ELSE 'viewed' END
FROM generate_series(1, 900) AS n;
INSERT INTO reactions (user_profile_id, match_id, reaction_type)
SELECT pg_temp.number('user', 1 + (n - 1) / 3), pg_temp.number('match', 10000 + n), 'like'
FROM generate_series(1, 100) AS n;
INSERT INTO reactions (user_profile_id, match_id, reaction_type)
SELECT pg_temp.number('user', 1 + (n - 1) / 3), pg_temp.number('match', 1000 + n), CASE n WHEN 1 THEN 'superlike' ELSE 'Liked' END
FROM generate_series(1, 10) AS n;

INSERT INTO babies (id, match_id, generated_by_profile_id, image_url)
SELECT pg_temp.number('baby', n), pg_temp.number('match', CASE WHEN n > 20 THEN 10000 + n ELSE n END),
    pg_temp.number('user', 1 + (n - 1) / 3), 'https://fal.media/' || n || '.jpg'
FROM generate_series(1, 40) AS n;

INSERT INTO mutual_connections (id, profile_a_id, profile_b_id, match_id, baby_id, status)
SELECT pg_temp.number('chat', n), pg_temp.number('user', n), pg_temp.number('user', n + 200),
    pg_temp.number('match', 3 * n), CASE WHEN n < 10 THEN pg_temp.number('baby', n) END, 'active'
FROM generate_series(1, 100) AS n;
INSERT INTO mutual_connections (id, profile_a_id, profile_b_id, match_id, status, created_at)
SELECT pg_temp.number('chat', 1000 + n), pg_temp.number('user', n + 200), pg_temp.number('user', n),
    pg_temp.number('match', 10000 + 3 * n), CASE WHEN n = 1 THEN 'blocked' ELSE 'active' END, now() + interval '1 second'
FROM generate_series(1, 10) AS n;
INSERT INTO messages (id, connection_id, sender_id, content, created_at, ai_status)
SELECT pg_temp.number('message', n), pg_temp.number('chat', CASE WHEN n % 10 = 0 THEN 1001 + n / 10 % 10 ELSE 1 + n % 100 END),
    pg_temp.number('user', 1 + n % 100), 'Hello ' || n, now() - n * interval '1 minute', CASE WHEN n = 1 THEN 'done' END
FROM generate_series(1, 1000) AS n;
INSERT INTO notifications (id, user_id, type, title, related_id, related_type)
SELECT pg_temp.number('notification', n), pg_temp.number('user', n), 'mutual_match', 'It is a match!',
    pg_temp.number('match', CASE WHEN n <= 50 THEN 10000 + n ELSE n END), 'match'
FROM generate_series(1, 100) AS n;

INSERT INTO match_jobs (face_id, user_id, status)
SELECT pg_temp.number('face', n), pg_temp.number('user', 1 + (n - 1) / 3), (ARRAY['pending', 'processing', 'completed', 'failed'])[1 + n % 4]
FROM generate_series(1, 60) AS n;
INSERT INTO system_settings (key, value) VALUES
    ('match_threshold', '2.0'), ('allow_non_edu_emails', 'true'),
    ('matching_weights', '{"embedding": 0.5, "geometry": 0.1, "age": 0.1, "symmetry": 0.1, "skin_tone": 0.1, "expression": 0.1}');
INSERT INTO generation_logs (user_id, status, error, latency_ms)
SELECT pg_temp.number('user', n), CASE WHEN n % 5 = 0 THEN 'error' ELSE 'success' END,
    CASE WHEN n % 5 = 0 THEN 'no answer' END, 100 * n
FROM generate_series(1, 20) AS n;
INSERT INTO jobs (type) VALUES ('celebrity_match'), ('batch_embeddings');

-- Built on what is there, which is faster.
CREATE INDEX ON faces USING hnsw (embedding vector_cosine_ops) WITH (m = 16, ef_construction = 64);
CREATE INDEX idx_celebrities_embedding ON celebrities
    USING ivfflat (embedding vector_cosine_ops) WITH (lists = 10);
