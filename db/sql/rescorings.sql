-- name: start_rescoring
-- Null if one is open. At the commit the workers are woken.
INSERT INTO rescorings (started_by)
VALUES ($1)
ON CONFLICT DO NOTHING
RETURNING
    id,
    pg_notify('match_jobs', ''),
    (SELECT jsonb_object_agg(key, value) FROM system_settings WHERE key IN ('matching_weights', 'match_threshold'))
        AS rules;

-- name: latest_rescoring
SELECT id, started_by, status, total, done, rescored, removed, error_message, created_at, completed_at
FROM rescorings
ORDER BY created_at DESC
LIMIT 1;

-- name: claim_rescoring
-- By the worker $1 for the lease $2: one that is new, or whose worker is not heard of.
UPDATE rescorings
SET status = 'running', locked_by = $1, lease_until = now() + $2::interval
WHERE id = (
    SELECT id
    FROM rescorings
    WHERE status = 'pending' OR (status = 'running' AND lease_until < now())
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING id;

-- name: record_rescoring
-- The heartbeat of the worker $2, with how far it is. Null if it has the rescoring $1 no more.
UPDATE rescorings
SET total = $3, done = $4, rescored = $5, removed = $6, lease_until = now() + $7::interval
WHERE id = $1 AND locked_by = $2 AND status = 'running'
RETURNING id;

-- name: end_rescoring
-- $3: completed or failed, $4: why.
UPDATE rescorings
SET status = $3, error_message = $4, completed_at = now(), locked_by = NULL, lease_until = NULL
WHERE id = $1 AND locked_by = $2 AND status = 'running';

-- name: score_histogram
-- How many stored scores of matches are in each of $1 equal bins of 0..1, of about $2 rows that are read. The
-- first bin is 0; of a larger table a sample of blocks is read, and `share` is its part.
WITH size AS (
    SELECT least(100, 100 * $2::float8 / greatest(reltuples, 1)) AS percent
    FROM pg_class
    WHERE oid = 'matches'::regclass
)
SELECT
    least(width_bucket(similarity_score, 0, 1, $1) - 1, $1 - 1) AS bin,
    count(*) AS count,
    (SELECT percent FROM size) / 100 AS share
FROM matches TABLESAMPLE SYSTEM ((SELECT percent FROM size)) REPEATABLE (1)
GROUP BY bin;

-- name: celebrity_score_histogram
-- As score_histogram.
WITH size AS (
    SELECT least(100, 100 * $2::float8 / greatest(reltuples, 1)) AS percent
    FROM pg_class
    WHERE oid = 'celebrity_matches'::regclass
)
SELECT
    least(width_bucket(similarity_score, 0, 1, $1) - 1, $1 - 1) AS bin,
    count(*) AS count,
    (SELECT percent FROM size) / 100 AS share
FROM celebrity_matches TABLESAMPLE SYSTEM ((SELECT percent FROM size)) REPEATABLE (1)
GROUP BY bin;
