-- name: text_sources_on
-- The kinds of texts that an admin allows to be embedded.
SELECT source
FROM (VALUES ('bio', 'profile_search'), ('message', 'message_search')) AS switch (source, setting)
JOIN system_settings ON key = setting AND value = 'true';

-- name: lock_embedding_jobs
-- Until the end of the transaction: two workers queue no text twice.
SELECT pg_advisory_xact_lock(7203384690417725110);

-- name: queue_missing_texts
-- Texts of the source $1 without vectors of the model $2 of what they say now, $3 at most, other than those of which a
-- job is open or has failed today.
WITH missing AS (
    SELECT profile_id, message_id
    FROM embeddable_texts AS found
    WHERE source = $1
        AND NOT EXISTS (
            SELECT
            FROM text_embeddings AS made
            WHERE made.source = found.source AND made.source_id = found.source_id AND model = $2
                AND content_hash = sha256(convert_to(content, 'UTF8'))
        )
        AND NOT EXISTS (
            SELECT
            FROM inference_queue AS job
            WHERE coalesce(job.message_id, job.profile_id) = found.source_id AND kind = 'embed'
                AND (status IN ('pending', 'processing') OR status = 'failed' AND completed_at > now() - interval '1 day')
        )
    LIMIT $3
),
queued AS (
    INSERT INTO inference_queue (kind, profile_id, message_id)
    SELECT 'embed', profile_id, message_id FROM missing
    RETURNING 1
)
SELECT count(*) FROM queued;

-- name: texts_to_embed
-- Those of the texts $1 that may have vectors and lack those of the model $2 of what they say now.
SELECT source, source_id, content
FROM embeddable_texts AS found
WHERE source_id = ANY ($1::uuid[])
    AND NOT EXISTS (
        SELECT
        FROM text_embeddings AS made
        WHERE made.source = found.source AND made.source_id = found.source_id AND model = $2
            AND content_hash = sha256(convert_to(content, 'UTF8'))
    );

-- name: missing_texts
-- Texts without vectors of the model $1, $2 at most.
SELECT source, source_id, content
FROM embeddable_texts AS found
WHERE NOT EXISTS (
    SELECT
    FROM text_embeddings AS made
    WHERE made.source = found.source AND made.source_id = found.source_id AND model = $1
        AND content_hash = sha256(convert_to(content, 'UTF8'))
)
LIMIT $2;

-- name: lock_texts
-- Until the end of the transaction, neither do the texts $1 change nor the consents to embed them.
WITH switches AS (
    SELECT FROM system_settings WHERE key = 'message_search' FOR SHARE
),
people AS (
    SELECT FROM profiles WHERE id = ANY ($1::uuid[]) FOR SHARE
),
chats AS (
    SELECT
    FROM messages
    JOIN mutual_connections AS chat ON chat.id = connection_id
    JOIN profiles ON profiles.id IN (profile_a_id, profile_b_id)
    WHERE messages.id = ANY ($1::uuid[])
    FOR SHARE OF messages, chat, profiles
)
SELECT (SELECT count(*) FROM switches) + (SELECT count(*) FROM people) + (SELECT count(*) FROM chats);

-- name: forget_text_embeddings
-- Those of the texts $1 by the model $2.
DELETE FROM text_embeddings WHERE source_id = ANY ($1::uuid[]) AND model = $2;

-- name: store_text_embeddings
-- A row for each chunk: $1: source, $2: id of the text, $3: number of the chunk, $4: hash of the text that was read,
-- $6: vector; $5: model. Stores those whose text may have vectors and says the same, and returns the texts.
WITH current AS (
    SELECT source, source_id, sha256(convert_to(content, 'UTF8')) AS content_hash
    FROM embeddable_texts
    WHERE source_id = ANY ($2::uuid[])
),
stored AS (
    INSERT INTO text_embeddings (source, source_id, chunk, model, content_hash, embedding)
    SELECT source, source_id, chunk, $5, content_hash, embedding
    FROM unnest($1::text[], $2::uuid[], $3::smallint[], $4::bytea[], $6::vector[])
        AS made (source, source_id, chunk, content_hash, embedding)
    JOIN current USING (source, source_id, content_hash)
    ON CONFLICT (source_id, source, model, chunk) DO NOTHING
)
SELECT source_id FROM current JOIN unnest($2::uuid[], $4::bytea[]) AS made (source_id, content_hash)
    USING (source_id, content_hash)
GROUP BY source_id;

-- name: queue_text
SELECT queue_text($1, $2);

-- name: count_embeddable_texts
SELECT
    count(*) FILTER (WHERE source = 'bio') AS bios,
    count(*) FILTER (WHERE source = 'message') AS messages
FROM embeddable_texts;

-- name: count_text_embeddings
-- The texts that have vectors of each model.
SELECT
    model,
    count(*) FILTER (WHERE source = 'bio') AS bios,
    count(*) FILTER (WHERE source = 'message') AS messages,
    max(created_at) AS latest
FROM text_embeddings
WHERE chunk = 0
GROUP BY model
ORDER BY latest DESC;

-- name: retire_text_embeddings
-- Of the models other than $1, $2 at most.
WITH old AS (
    SELECT source_id, source, model, chunk FROM text_embeddings WHERE model <> $1 LIMIT $2
),
gone AS (
    DELETE FROM text_embeddings AS made
    USING old
    WHERE made.source_id = old.source_id AND made.source = old.source AND made.model = old.model
        AND made.chunk = old.chunk
    RETURNING 1
)
SELECT count(*) FROM gone;

-- name: forget_messages
-- The vectors of messages, $1 at most, once an admin has switched them off.
WITH old AS (
    SELECT source_id, source, model, chunk
    FROM text_embeddings
    WHERE message_id IS NOT NULL
        AND NOT EXISTS (SELECT FROM system_settings WHERE key = 'message_search' AND value = 'true')
    LIMIT $1
),
gone AS (
    DELETE FROM text_embeddings AS made
    USING old
    WHERE made.source_id = old.source_id AND made.source = old.source AND made.model = old.model
        AND made.chunk = old.chunk
    RETURNING 1
)
SELECT count(*) FROM gone;
