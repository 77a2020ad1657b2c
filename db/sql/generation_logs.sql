-- name: fail_abandoned_generations
-- Calls that began longer ago than $1: whoever made them would have ended by now.
UPDATE generation_logs
SET status = 'failed', error_message = 'The process that made the call has ended.'
WHERE id IN (
    SELECT id
    FROM generation_logs
    WHERE status = 'processing' AND created_at < now() - $1::interval
    FOR UPDATE SKIP LOCKED
);

-- name: count_generations_in_progress
SELECT count(*)
FROM generation_logs
WHERE profile_id = $1 AND status = 'processing';

-- name: start_generation
-- Nothing where the match $2 is gone. $1: user, $3: provider, $4: model.
INSERT INTO generation_logs (profile_id, match_id, provider, model, status)
SELECT $1, id, $3, $4, 'processing'
FROM (SELECT id FROM matches WHERE id = $2 FOR KEY SHARE) AS match
RETURNING id;

-- name: finish_generation
-- Only what is not finished: the end that is written first holds.
UPDATE generation_logs
SET status = $2, attempts = $3, duration_ms = $4, error_message = $5, baby_id = $6
WHERE id = $1 AND status = 'processing';
