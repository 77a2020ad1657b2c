DROP TRIGGER messages_tell_content ON messages;
DROP TRIGGER messages_queue_icebreaker ON messages;
DROP FUNCTION queue_icebreaker();
DROP FUNCTION tell_of_draft(uuid, uuid, integer, text);

DELETE FROM generation_logs WHERE kind <> 'baby';
DROP INDEX idx_generation_logs_texts;
ALTER TABLE generation_logs
    DROP COLUMN kind,
    DROP COLUMN inference_job_id,
    DROP COLUMN tokens_in,
    DROP COLUMN tokens_out,
    DROP COLUMN provider_seconds;
DROP TABLE inference_queue;
DROP FUNCTION tell_of_inference();
DROP FUNCTION notify_inference_queue();
DROP FUNCTION texts_wanted(uuid, uuid);
ALTER TABLE messages DROP COLUMN in_reply_to;
ALTER TABLE profiles DROP COLUMN text_generation;

DELETE FROM events WHERE type IN ('inference', 'draft');
ALTER TABLE events
    DROP CONSTRAINT events_type_check,
    ADD CONSTRAINT events_type_check CHECK (type IN (
        'matches', 'job', 'message', 'message_read', 'notifications', 'presence', 'session_ended', 'admin'
    ));

DELETE FROM system_settings WHERE key = 'text_generation';
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
