-- name: revoke_session
-- The time of the first revocation stays.
INSERT INTO revoked_sessions (key, profile_id, expires_at)
VALUES ($1, $2, to_timestamp($3::double precision))
ON CONFLICT (key) DO NOTHING;

-- name: is_session_revoked
-- Of a user, or of the console. $2: the user, or null; all sessions of one who is blocked or deleted have ended.
SELECT EXISTS (SELECT FROM revoked_sessions WHERE key = $1)
    OR EXISTS (SELECT FROM console_sessions WHERE hash = $1 AND revoked_at IS NOT NULL)
    OR ($2::uuid IS NOT NULL AND NOT EXISTS (SELECT FROM profiles WHERE id = $2 AND blocked_at IS NULL));

-- name: prune_revoked_sessions
DELETE FROM revoked_sessions WHERE expires_at < now();
