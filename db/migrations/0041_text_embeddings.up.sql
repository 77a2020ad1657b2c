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

-- As before, and the vectors of the new table. Those of the old one are deleted first, because the
-- next migration locks them while it copies them.
CREATE OR REPLACE FUNCTION index_bio() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    DELETE FROM public.bio_vectors WHERE profile_id = NEW.id;
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
        AND NOT EXISTS (
            SELECT
            FROM public.inference_queue AS job
            WHERE job.message_id = found.message_id AND job.kind = 'embed' AND job.status = 'pending'
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

INSERT INTO system_settings (key, value, description) VALUES
    ('message_search', 'false', 'Whether users who want it find messages of their chats by what these mean.')
ON CONFLICT (key) DO NOTHING;
