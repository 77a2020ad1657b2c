-- name: add_ray_job
INSERT INTO ray_jobs (id, kind, arguments, started_by)
VALUES ($1, $2, $3, $4);

-- name: record_ray_job
-- By the job $1 itself, which Ray knows as $10: how far it is, and its status $9. A job that the actor $8 submitted by
-- a command is not known yet. Returns whether it was added. One that Ray says has ended keeps that status.
INSERT INTO ray_jobs (
    id, submission_id, kind, arguments, started_by, status, done, total, counted, message, heard_at, ended_at
)
VALUES ($1, $10, $2, $3, $8, $9, $4, $5, $6, $7, now(), CASE WHEN $9 <> 'running' THEN now() END)
ON CONFLICT (id) DO UPDATE
SET status = CASE WHEN ray_jobs.ended_at IS NULL THEN excluded.status ELSE ray_jobs.status END,
    heard_at = excluded.heard_at,
    ended_at = coalesce(ray_jobs.ended_at, excluded.ended_at),
    done = excluded.done,
    total = excluded.total,
    counted = excluded.counted,
    message = coalesce(excluded.message, ray_jobs.message)
RETURNING xmax = 0;

-- name: set_ray_job_status
-- What Ray says of a job that has not ended; a message of its own is kept.
UPDATE ray_jobs
SET status = $2,
    message = CASE WHEN $2 = 'failed' THEN coalesce(message, $3) ELSE message END,
    ended_at = CASE WHEN $2 IN ('succeeded', 'failed', 'stopped') THEN now() END
WHERE id = $1 AND status IN ('pending', 'running') AND status <> $2;

-- name: get_ray_job
SELECT id, coalesce(submission_id, id::text) AS submission_id, kind, arguments, started_by, status, done, total,
       counted, message, created_at, ended_at
FROM ray_jobs
WHERE id = $1;

-- name: page_of_ray_jobs
-- The latest first, after the place $1, $2; one more than $3.
SELECT id, coalesce(submission_id, id::text) AS submission_id, kind, arguments, started_by, status, done, total,
       counted, message, created_at, ended_at
FROM ray_jobs
WHERE $1::timestamptz IS NULL OR (created_at, id) < ($1, $2::uuid)
ORDER BY created_at DESC, id DESC
LIMIT $3 + 1;

-- name: open_ray_jobs
-- How long each of them has said nothing. One that was last heard in the future has said nothing since the clock was set
-- back.
SELECT id, coalesce(submission_id, id::text) AS submission_id,
       abs(extract(epoch FROM now() - coalesce(heard_at, created_at)))::float8 AS silence
FROM ray_jobs
WHERE status IN ('pending', 'running')
ORDER BY created_at;
