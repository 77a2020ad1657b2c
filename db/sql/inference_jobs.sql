-- name: return_expired_inference_jobs
-- Jobs whose lease has ended: they return to the queue, or fail and are logged. $1: kinds, $2: provider, $3: model.
WITH expired AS (
    SELECT id
    FROM inference_queue
    WHERE status = 'processing' AND lease_until < now() AND kind = ANY($1::text[])
    ORDER BY id
    FOR UPDATE SKIP LOCKED
),
returned AS (
    UPDATE inference_queue
    SET status = CASE WHEN attempts < max_attempts THEN 'pending' ELSE 'failed' END,
        error_message = CASE WHEN attempts < max_attempts THEN error_message
            ELSE 'The text was begun and not finished, several times.' END,
        completed_at = CASE WHEN attempts < max_attempts THEN NULL ELSE now() END,
        run_after = now(),
        locked_by = NULL,
        lease_until = NULL
    FROM expired
    WHERE inference_queue.id = expired.id
    RETURNING inference_queue.*
)
INSERT INTO generation_logs (
    kind, inference_job_id, profile_id, provider, model, status, attempts, error_message, tokens_in, tokens_out
)
SELECT kind, id, profile_id, $2, $3, status, attempts, error_message, nullif(tokens_in, 0), nullif(tokens_out, 0)
FROM returned
WHERE status = 'failed'
ON CONFLICT (inference_job_id) DO UPDATE
SET status = excluded.status,
    attempts = excluded.attempts,
    error_message = excluded.error_message,
    tokens_in = excluded.tokens_in,
    tokens_out = excluded.tokens_out;

-- name: claim_inference_jobs
-- $1: worker, $2: how many, $3: length of the lease, $4: kinds. Oldest first, without jobs that another worker is
-- claiming.
WITH due AS (
    SELECT id
    FROM inference_queue
    WHERE status = 'pending' AND run_after <= now() AND kind = ANY($4::text[])
    ORDER BY run_after, created_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
UPDATE inference_queue
SET status = 'processing',
    attempts = attempts + 1,
    started_at = now(),
    completed_at = NULL,
    locked_by = $1,
    lease_until = now() + $3::interval
FROM due
WHERE inference_queue.id = due.id
RETURNING inference_queue.id, kind, profile_id, message_id, recipient_id, input, attempts, max_attempts, traceparent;

-- name: extend_inference_jobs
-- The heartbeat of the worker $1 for its jobs $2.
UPDATE inference_queue
SET lease_until = now() + $3::interval
WHERE id = ANY($2::uuid[]) AND locked_by = $1 AND status = 'processing';

-- name: end_inference_job
-- Ends and logs a job; nothing, and false, if its worker does not hold it any more. A job has one row in the log.
-- $1: job, $2: worker, $3: attempt, $4: status, $5: result, $6: message, $7: provider, $8: model, $9: tokens in,
-- $10: tokens out, $11: seconds of the provider. The log also counts the tokens of attempts that failed.
WITH ended AS (
    UPDATE inference_queue
    SET status = $4,
        completed_at = now(),
        result = $5,
        error_message = $6,
        locked_by = NULL,
        lease_until = NULL
    WHERE id = $1 AND locked_by = $2 AND attempts = $3 AND status = 'processing'
    RETURNING
        id, kind, profile_id, status, attempts, error_message, started_at, completed_at, tokens_in, tokens_out
),
logged AS (
    INSERT INTO generation_logs (
        kind, inference_job_id, profile_id, provider, model, status, attempts, error_message, tokens_in, tokens_out,
        provider_seconds, duration_ms
    )
    SELECT
        kind, id, profile_id, $7, $8, status, attempts, error_message,
        coalesce($9 + tokens_in, nullif(tokens_in, 0)), coalesce($10 + tokens_out, nullif(tokens_out, 0)), $11,
        -- A clock that was set back meanwhile does not keep the job from ending.
        round(extract(epoch FROM greatest(completed_at - started_at, interval '0')) * 1000)::integer
    FROM ended
    ON CONFLICT (inference_job_id) DO UPDATE
    SET provider = excluded.provider,
        model = excluded.model,
        status = excluded.status,
        attempts = excluded.attempts,
        error_message = excluded.error_message,
        tokens_in = excluded.tokens_in,
        tokens_out = excluded.tokens_out,
        provider_seconds = excluded.provider_seconds,
        duration_ms = excluded.duration_ms
)
SELECT EXISTS (SELECT FROM ended);

-- name: retry_inference_job
-- $1: job, $2: worker, $3: attempt, $4: message, $5: delay until the next attempt.
UPDATE inference_queue
SET status = 'pending',
    error_message = $4,
    run_after = now() + $5::interval,
    locked_by = NULL,
    lease_until = NULL
WHERE id = $1 AND locked_by = $2 AND attempts = $3 AND status = 'processing';

-- name: spend_inference_tokens
-- What the attempt $3 has used before it failed, by the worker $2 at the job $1. $4: tokens in, $5: tokens out.
UPDATE inference_queue
SET tokens_in = tokens_in + $4, tokens_out = tokens_out + $5
WHERE id = $1 AND locked_by = $2 AND attempts = $3 AND status = 'processing';

-- name: release_inference_jobs
-- Returns the jobs of a worker that ends regularly, as if it had not claimed them.
UPDATE inference_queue
SET status = 'pending', attempts = attempts - 1, locked_by = NULL, lease_until = NULL
WHERE locked_by = $1 AND status = 'processing';

-- name: seconds_to_next_inference_job
-- Seconds until the next job of the kinds $1 is due or the next lease ends; null without any.
SELECT extract(epoch FROM least(
    (SELECT min(run_after) FROM inference_queue WHERE status = 'pending' AND kind = ANY($1::text[])),
    (SELECT min(lease_until) FROM inference_queue WHERE status = 'processing' AND kind = ANY($1::text[]))
) - now())::float8;

-- name: count_pending_inference_jobs
SELECT count(*) FROM inference_queue WHERE status = 'pending' AND run_after <= now();

-- name: find_inference_job_by_key
-- The job of the key $2 of the user $1, and the message that was sent with it.
SELECT
    inference_queue.id, message_id, inference_queue.status, messages.connection_id, messages.content,
    messages.message_type
FROM inference_queue
JOIN messages ON messages.id = message_id
WHERE profile_id = $1 AND idempotency_key = $2;

-- name: text_tokens_today
-- What texts of the user $1 used since midnight UTC, how many of theirs are not done, and when the count restarts.
SELECT
    coalesce((
        SELECT sum(coalesce(tokens_in, 0) + coalesce(tokens_out, 0))
        FROM generation_logs
        WHERE profile_id = $1 AND kind <> 'baby'
            AND created_at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
    ), 0)::bigint AS used,
    (
        SELECT count(*)
        FROM inference_queue
        WHERE profile_id = $1 AND status IN ('pending', 'processing') AND kind <> 'embed'
    ) AS open,
    (date_trunc('day', now() AT TIME ZONE 'UTC') + interval '1 day') AT TIME ZONE 'UTC' AS resets_at;

-- name: other_member_of_connection
-- $1: connection, $2: the user; null if they are not in it. And whether both want texts.
SELECT
    CASE $2::uuid WHEN profile_a_id THEN profile_b_id WHEN profile_b_id THEN profile_a_id END AS other_id,
    texts_wanted(profile_a_id, profile_b_id) AS wanted
FROM mutual_connections
WHERE id = $1;

-- name: add_reply_job
-- $1: the user who wrote the message $2, $3: for whom a reply is suggested, $4: idempotency key.
INSERT INTO inference_queue (kind, profile_id, message_id, recipient_id, idempotency_key)
VALUES ('reply', $1, $2, $3, $4)
RETURNING id;

-- name: get_inference_job
-- One job of the user $2, who wrote its message.
SELECT id, kind, message_id, status, attempts, max_attempts, error_message, created_at, started_at, completed_at
FROM inference_queue
WHERE id = $1 AND profile_id = $2;

-- name: list_drafts
-- The drafts for the user $1 in active connections, newest first; $2: of this connection, or null for all.
SELECT
    job.id, messages.connection_id, job.message_id, job.result ->> 'text' AS content, job.result ->> 'model' AS model,
    job.completed_at AS created_at
FROM inference_queue AS job
JOIN messages ON messages.id = job.message_id
JOIN mutual_connections AS connection ON connection.id = messages.connection_id
WHERE job.recipient_id = $1 AND job.kind = 'reply' AND job.status = 'completed' AND job.result IS NOT NULL
    AND connection.status = 'active' AND ($2::uuid IS NULL OR connection.id = $2)
ORDER BY job.completed_at DESC, job.id
LIMIT 100;

-- name: take_draft
-- Removes the draft $1 of the user $2 and returns what it answers.
UPDATE inference_queue AS job
SET result = NULL
FROM messages
JOIN mutual_connections AS connection ON connection.id = connection_id
WHERE job.id = $1 AND recipient_id = $2 AND kind = 'reply' AND job.status = 'completed' AND result IS NOT NULL
    AND messages.id = job.message_id
RETURNING messages.id AS message_id, messages.connection_id;

-- name: replace_icebreaker
-- Only while nobody has read it. $1: message, $2: the new text.
UPDATE messages
SET content = $2
FROM mutual_connections AS connection
WHERE messages.id = $1 AND message_type = 'icebreaker' AND read_at IS NULL
    AND connection.id = connection_id AND connection.status = 'active'
RETURNING true;

-- name: inference_job_counts
SELECT status, count(*) AS count, min(created_at) AS oldest
FROM inference_queue
GROUP BY status;

-- name: inference_job_backlog
-- Every status of jobs that are not completed, with how many there are and the age of the oldest in seconds.
SELECT
    status, count(inference_queue.id) AS count,
    coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS oldest_seconds
FROM unnest(ARRAY['pending', 'processing', 'failed']) AS status
LEFT JOIN inference_queue USING (status)
GROUP BY status;

-- name: inference_job_seconds
-- Averages over the jobs completed since $1: from claim, and from creation, to completion.
SELECT
    avg(extract(epoch FROM completed_at - started_at))::float8 AS processing,
    avg(extract(epoch FROM completed_at - created_at))::float8 AS total
FROM inference_queue
WHERE status = 'completed' AND completed_at >= $1;

-- name: inference_job_failures
SELECT error_message AS message, count(*) AS count, max(completed_at) AS latest
FROM inference_queue
WHERE status = 'failed'
GROUP BY error_message
ORDER BY count DESC, latest DESC
LIMIT $1;

-- name: prune_inference_jobs
-- Jobs that ended before $1, at most $2 at a time.
WITH old AS (
    SELECT id
    FROM inference_queue
    WHERE status IN ('completed', 'failed') AND completed_at < $1
    ORDER BY completed_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
),
gone AS (
    DELETE FROM inference_queue USING old WHERE inference_queue.id = old.id RETURNING 1
)
SELECT count(*) FROM gone;

-- name: tell_of_draft
-- $1: job, $2: worker, $3: attempt, $4: the text so far.
SELECT tell_of_draft($1, $2, $3, $4);

-- name: text_subject
-- What a text about the message $1 may be made of, with the $2 text messages before it; no row if the connection is not
-- active or texts are not wanted by both.
SELECT
    message.content,
    author.name AS author_name,
    reader.name AS reader_name,
    CASE WHEN author.school_key = reader.school_key THEN author.school END AS school,
    floor(100 * similarity_score + 0.5)::integer AS percentage,
    factor_embedding, factor_geometry, factor_age, factor_symmetry, factor_expression,
    (
        SELECT coalesce(jsonb_agg(jsonb_build_object('by', name, 'said', said) ORDER BY created_at, id), '[]')
        FROM (
            SELECT before.id, before.created_at, left(before.content, 1000) AS said, profiles.name
            FROM messages AS before
            JOIN profiles ON profiles.id = before.sender_id
            WHERE before.connection_id = message.connection_id AND before.message_type <> 'image'
                AND (before.created_at, before.id) < (message.created_at, message.id)
            ORDER BY before.created_at DESC, before.id DESC
            LIMIT $2
        ) AS said_before
    ) AS earlier
FROM messages AS message
JOIN mutual_connections AS connection ON connection.id = message.connection_id
JOIN matches ON matches.id = connection.match_id
JOIN profiles AS author ON author.id = message.sender_id
JOIN profiles AS reader
    ON reader.id = CASE WHEN profile_a_id = message.sender_id THEN profile_b_id ELSE profile_a_id END
WHERE message.id = $1 AND connection.status = 'active' AND texts_wanted(profile_a_id, profile_b_id);
