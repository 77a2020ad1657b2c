DELETE FROM system_settings WHERE key = 'message_search';
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

DELETE FROM inference_queue WHERE kind = 'embed' AND message_id IS NOT NULL;
DROP TRIGGER mutual_connections_index ON mutual_connections;
DROP TRIGGER profiles_index_chats ON profiles;
DROP TRIGGER messages_index_content ON messages;
DROP TRIGGER messages_index ON messages;
DROP FUNCTION index_chat();
DROP FUNCTION index_chats_of_profile();
DROP FUNCTION index_chats(uuid[]);
DROP FUNCTION index_message();
CREATE OR REPLACE FUNCTION index_bio() RETURNS trigger
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

DROP FUNCTION queue_text(text, uuid);
DROP FUNCTION forget_text(text, uuid, text);
DROP VIEW embeddable_texts;
DROP VIEW searchable_chats;
DROP TABLE text_embeddings;
ALTER TABLE profiles DROP COLUMN message_search;
