-- name: revoke_session
-- The time of the first revocation stays.
INSERT INTO revoked_sessions (key, profile_id, expires_at)
VALUES ($1, $2, to_timestamp($3::double precision))
ON CONFLICT (key) DO NOTHING;

-- name: has_session_ended
-- $1: its key, $2: the user, null for a session of the console, $3: whether it is used as an admin's. All sessions of a
-- user who is blocked or deleted have ended. The row of a session of the console goes with the profile of its admin.
SELECT CASE
    WHEN $2::uuid IS NULL THEN NOT EXISTS (
        SELECT FROM console_sessions WHERE hash = $1 AND revoked_at IS NULL
    )
    ELSE EXISTS (SELECT FROM revoked_sessions WHERE key = $1)
        OR NOT EXISTS (
            SELECT FROM profiles WHERE id = $2 AND blocked_at IS NULL AND (role = 'admin' OR NOT $3::boolean)
        )
END;

-- name: prune_revoked_sessions
DELETE FROM revoked_sessions WHERE expires_at < now();
