-- name: tell_operators
SELECT tell_operators($1, $2);

-- name: tell_of_ended_jobs
-- The commit does not wait for the disk: what it tells is to look again.
SELECT tell_operators('jobs', '{}'), set_config('synchronous_commit', 'off', true);
