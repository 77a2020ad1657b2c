-- name: carry_trace
-- The jobs that this transaction queues belong to the trace $1.
SELECT set_config('semblance.traceparent', $1, true);

-- name: count_pending_match_jobs
SELECT count(*)
FROM match_jobs
WHERE status = 'pending';

-- name: count_workable_match_jobs
-- As count_pending_match_jobs; 0 while the queue is paused, because no worker could help.
SELECT count(*)
FROM match_jobs
WHERE status = 'pending'
    AND NOT EXISTS (SELECT FROM system_settings WHERE key = 'match_jobs_paused' AND value = 'true');

-- name: claim_match_jobs
-- $1: worker, $2: how many, $3: length of the lease. Jobs whose lease has ended come first, then the oldest that are due,
-- without jobs that another worker is claiming; none while the queue is paused, when those whose lease has ended wait
-- again. Jobs whose lease has ended and that have no attempt left fail. Each job comes with its face as probe_face reads
-- it, and all settings. The commit does not wait for the disk: after a crash of the server that loses it, the jobs still
-- wait.
WITH failed AS (
    UPDATE match_jobs
    SET status = 'failed',
        error_message = 'Matching was begun and not finished, several times.',
        completed_at = now(),
        run_after = now(),
        locked_by = NULL,
        lease_until = NULL
    WHERE id = ANY (ARRAY(
        SELECT id
        FROM match_jobs
        WHERE status = 'processing' AND (lease_until < now() OR lease_until IS NULL) AND attempts >= max_attempts
        ORDER BY id
        FOR UPDATE SKIP LOCKED
    ))
),
abandoned AS (
    SELECT id
    FROM match_jobs
    WHERE status = 'processing' AND (lease_until < now() OR lease_until IS NULL) AND attempts < max_attempts
        AND NOT EXISTS (SELECT FROM system_settings WHERE key = 'match_jobs_paused' AND value = 'true')
    ORDER BY run_after, created_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
),
returned AS (
    UPDATE match_jobs
    SET status = 'pending', locked_by = NULL, lease_until = NULL
    WHERE id = ANY (ARRAY(
        SELECT id
        FROM match_jobs
        WHERE status = 'processing' AND (lease_until < now() OR lease_until IS NULL) AND attempts < max_attempts
            AND EXISTS (SELECT FROM system_settings WHERE key = 'match_jobs_paused' AND value = 'true')
        ORDER BY id
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING tell_operators('jobs', '{}')
),
due AS (
    SELECT id
    FROM match_jobs
    WHERE status = 'pending' AND run_after <= now()
        AND NOT EXISTS (SELECT FROM system_settings WHERE key = 'match_jobs_paused' AND value = 'true')
    ORDER BY run_after, created_at
    LIMIT $2 - (SELECT count(*) FROM abandoned)
    FOR UPDATE SKIP LOCKED
),
claimed AS (
    UPDATE match_jobs
    SET status = 'processing',
        attempts = attempts + 1,
        started_at = now(),
        completed_at = NULL,
        locked_by = $1,
        lease_until = now() + $3::interval
    FROM set_config('synchronous_commit', 'off', true)
    WHERE id = ANY (ARRAY(SELECT id FROM abandoned UNION ALL SELECT id FROM due))
    RETURNING match_jobs.*
)
SELECT
    claimed.id, face_id, job_type, attempts, max_attempts, claimed.created_at, traceparent, probe.*,
    (SELECT jsonb_object_agg(key, value) FROM system_settings) AS settings
FROM claimed
-- One by one, however many the planner expects.
CROSS JOIN LATERAL (
    SELECT
        image_path, school, profiles.gender, serving.pack_digest, stored.embedding, geometry_ratios, age, symmetry_score,
        skin_tone_lab, expression
    FROM faces
    JOIN profiles ON profiles.id = faces.profile_id
    JOIN faces_in_force AS serving ON serving.face_id = faces.id
    LEFT JOIN face_embeddings AS stored ON stored.face_id = faces.id AND stored.pack_digest = serving.pack_digest
    WHERE faces.id = claimed.face_id
    LIMIT 1
) AS probe;

-- name: extend_match_jobs
-- The heartbeat of the worker $1 for its jobs $2.
UPDATE match_jobs
SET lease_until = now() + $3::interval
WHERE id = ANY($2::uuid[]) AND locked_by = $1 AND status = 'processing';

-- name: complete_match_job
SELECT * FROM complete_match_job($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14);

-- name: retry_match_job
-- $1: job, $2: worker, $3: attempt, $4: message, $5: delay until the next attempt.
UPDATE match_jobs
SET status = 'pending',
    error_message = $4,
    run_after = now() + $5::interval,
    locked_by = NULL,
    lease_until = NULL
WHERE id = $1 AND locked_by = $2 AND attempts = $3 AND status = 'processing';

-- name: fail_match_job
UPDATE match_jobs
SET status = 'failed',
    completed_at = now(),
    error_message = $4,
    locked_by = NULL,
    lease_until = NULL
WHERE id = $1 AND locked_by = $2 AND attempts = $3 AND status = 'processing';

-- name: release_match_jobs
-- Returns the jobs of a worker that ends regularly, as if it had not claimed them.
UPDATE match_jobs
SET status = 'pending', attempts = attempts - 1, locked_by = NULL, lease_until = NULL
WHERE locked_by = $1 AND status = 'processing';

-- name: hasten_jobs
-- Makes due what waits, and ends leases that last, for longer than $1: they are from before the clock was set back.
WITH hastened AS (
    UPDATE inference_queue
    SET run_after = now(), lease_until = CASE status WHEN 'processing' THEN now() END
    WHERE (status = 'pending' AND run_after > now() + $1::interval)
        OR (status = 'processing' AND lease_until > now() + $1::interval)
),
rescoring AS (
    UPDATE rescorings SET lease_until = now() WHERE status = 'running' AND lease_until > now() + $1::interval
),
deletions AS (
    UPDATE object_deletions SET due_at = now() WHERE due_at > now() + $1::interval
)
UPDATE match_jobs
SET run_after = now(), lease_until = CASE status WHEN 'processing' THEN now() END
WHERE (status = 'pending' AND run_after > now() + $1::interval)
    OR (status = 'processing' AND lease_until > now() + $1::interval);

-- name: seconds_to_next_match_job
-- Seconds until the next job is due, unless the queue is paused, or the next lease ends; null without any.
SELECT extract(epoch FROM least(
    (
        SELECT min(run_after)
        FROM match_jobs
        WHERE status = 'pending'
            AND NOT EXISTS (SELECT FROM system_settings WHERE key = 'match_jobs_paused' AND value = 'true')
    ),
    (SELECT min(lease_until) FROM match_jobs WHERE status = 'processing')
) - now())::float8;

-- name: get_match_job
SELECT
    id, face_id, status, job_type, attempts, max_attempts, error_message, created_at, started_at,
    completed_at, user_matches, celebrity_matches
FROM match_jobs
WHERE id = $1 AND user_id = $2;

-- name: match_job_counts
SELECT status, count(*) AS count, min(created_at) AS oldest
FROM match_jobs
GROUP BY status;

-- name: match_job_backlog
-- Every status of jobs that are not completed, with how many there are and the age of the oldest in seconds.
SELECT
    status, count(match_jobs.id) AS count,
    coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS oldest_seconds
FROM unnest(ARRAY['pending', 'processing', 'failed']) AS status
LEFT JOIN match_jobs USING (status)
GROUP BY status;

-- name: match_job_seconds
-- Averages over the jobs completed since $1: from claim, and from creation, to completion.
SELECT
    avg(extract(epoch FROM completed_at - started_at))::float8 AS processing,
    avg(extract(epoch FROM completed_at - created_at))::float8 AS total
FROM match_jobs
WHERE status = 'completed' AND completed_at >= $1;

-- name: match_job_failures
SELECT error_message AS message, count(*) AS count, max(completed_at) AS latest
FROM match_jobs
WHERE status = 'failed'
GROUP BY error_message
ORDER BY count DESC, latest DESC
LIMIT $1;

-- name: prune_match_jobs
-- Jobs that ended before $1, at most $2 at a time.
WITH old AS (
    SELECT id
    FROM match_jobs
    WHERE status IN ('completed', 'failed') AND completed_at < $1
    ORDER BY completed_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
),
gone AS (
    DELETE FROM match_jobs USING old WHERE match_jobs.id = old.id RETURNING 1
)
SELECT count(*) FROM gone;

-- name: page_of_match_jobs
-- The jobs of the status $1 after the place $2, $3, the latest first; one more than $4.
SELECT
    match_jobs.id, face_id, match_jobs.user_id, profiles.name AS user_name, image_path, status, job_type, attempts,
    max_attempts, error_message, match_jobs.created_at, started_at, completed_at, run_after
FROM match_jobs
JOIN faces ON faces.id = face_id
JOIN profiles ON profiles.id = match_jobs.user_id
WHERE status = $1 AND ($2::timestamptz IS NULL OR (match_jobs.created_at, match_jobs.id) < ($2, $3::uuid))
ORDER BY match_jobs.created_at DESC, match_jobs.id DESC
LIMIT $4 + 1;

-- name: match_jobs_ended
-- How many were completed and failed since $1.
SELECT
    count(*) FILTER (WHERE status = 'completed') AS completed,
    count(*) FILTER (WHERE status = 'failed') AS failed
FROM match_jobs
WHERE status IN ('completed', 'failed') AND completed_at >= $1;

-- name: match_jobs_paused
SELECT EXISTS (SELECT FROM system_settings WHERE key = 'match_jobs_paused' AND value = 'true');

-- name: pause_match_jobs
-- $1: whether. At the commit the workers are woken.
WITH changed AS (
    INSERT INTO system_settings (key, value, description)
    VALUES ('match_jobs_paused', to_jsonb($1::boolean), 'Whether workers leave match jobs in the queue.')
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_by = NULL
    WHERE system_settings.value IS DISTINCT FROM excluded.value
    RETURNING pg_notify('match_jobs', '')
)
SELECT count(*) > 0 FROM changed;

-- name: retry_failed_match_jobs
-- The failed jobs $1, or the $2 oldest of all if it is null: due now, with all their attempts.
WITH failed AS (
    SELECT id
    FROM match_jobs
    WHERE status = 'failed' AND ($1::uuid[] IS NULL OR id = ANY($1))
    ORDER BY created_at, id
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
UPDATE match_jobs
SET status = 'pending', attempts = 0, run_after = now(), error_message = NULL, started_at = NULL, completed_at = NULL
FROM failed
WHERE match_jobs.id = failed.id
RETURNING match_jobs.id;
