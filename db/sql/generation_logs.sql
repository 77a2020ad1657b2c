-- name: fail_abandoned_generations
-- Calls that began longer than $1 ago, or before the clock was set back, whose process must have died.
UPDATE generation_logs
SET status = 'failed', error_message = 'The process that made the call has ended.'
WHERE id IN (
    SELECT id
    FROM generation_logs
    WHERE status = 'processing'
        AND kind = 'baby'
        AND created_at NOT BETWEEN now() - $1::interval AND now() + $1::interval
    FOR UPDATE SKIP LOCKED
);

-- name: count_generations_in_progress
SELECT count(*)
FROM generation_logs
WHERE profile_id = $1 AND status = 'processing' AND kind = 'baby';

-- name: start_generation
-- Returns no row if the match $2 is gone. $1: user, $3: provider, $4: model.
INSERT INTO generation_logs (profile_id, match_id, provider, model, status)
SELECT $1, id, $3, $4, 'processing'
FROM (SELECT id FROM matches WHERE id = $2 FOR KEY SHARE) AS match
RETURNING id;

-- name: finish_generation
-- Only unfinished calls: the first result stays.
UPDATE generation_logs
SET status = $2, attempts = $3, duration_ms = $4, error_message = $5, baby_id = $6
WHERE id = $1 AND status = 'processing';

-- name: generation_days
-- Calls by day (UTC), kind, provider and model, the latest day first, of the last $1 days.
SELECT
    (created_at AT TIME ZONE 'UTC')::date AS day,
    kind,
    provider,
    model,
    count(*) FILTER (WHERE status = 'completed') AS completed,
    count(*) FILTER (WHERE status = 'failed') AS failed,
    count(*) FILTER (WHERE status = 'processing') AS processing,
    coalesce(sum(tokens_in), 0)::bigint AS tokens_in,
    coalesce(sum(tokens_out), 0)::bigint AS tokens_out,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms) FILTER (WHERE status = 'completed') AS duration_p50_ms,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ms) FILTER (WHERE status = 'completed') AS duration_p95_ms
FROM generation_logs
WHERE created_at >= (date_trunc('day', now() AT TIME ZONE 'UTC') - make_interval(days => $1 - 1)) AT TIME ZONE 'UTC'
GROUP BY 1, 2, 3, 4
ORDER BY 1 DESC, 2, 3, 4;

-- name: prune_generation_logs
-- Calls that began longer than $1 ago and have ended, at most $2 at a time.
WITH old AS (
    SELECT id
    FROM generation_logs
    WHERE created_at < now() - $1::interval AND status <> 'processing'
    ORDER BY created_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
),
gone AS (
    DELETE FROM generation_logs USING old WHERE generation_logs.id = old.id RETURNING 1
)
SELECT count(*) FROM gone;
