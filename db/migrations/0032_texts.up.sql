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

ALTER TABLE events
    DROP CONSTRAINT events_type_check,
    ADD CONSTRAINT events_type_check CHECK (type IN (
        'matches', 'job', 'message', 'message_read', 'notifications', 'presence', 'session_ended', 'admin',
        'inference', 'draft'
    ));

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
    ('text_generation', 'false', 'Whether texts are suggested to users who have switched it on.')
ON CONFLICT (key) DO NOTHING;
