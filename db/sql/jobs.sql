-- name: count_pending_match_jobs
SELECT count(*)
FROM match_jobs
WHERE status = 'pending';
