-- name: add_console_code
INSERT INTO console_codes (hash) VALUES ($1);

-- name: exchange_console_code
-- Of two exchanges at the same time, the second waits for the first and then finds no code. $1: hash of the code,
-- $2: hash of the new session.
WITH used AS (
    DELETE FROM console_codes WHERE hash = $1 RETURNING expires_at
)
INSERT INTO console_sessions (hash)
SELECT $2 FROM used WHERE expires_at > now()
RETURNING id, profile_id, NULL::text AS name, created_at, last_used_at, expires_at;

-- name: hold_profile
-- Until the end of the transaction the profile keeps its role, and none of its sessions is revoked.
SELECT FROM profiles WHERE id = $1 FOR SHARE;

-- name: open_console_session
-- $1: hash, $2: profile, $3: key of the token's session. No row unless the profile is an admin and the session valid.
WITH made AS (
    INSERT INTO console_sessions (hash, profile_id, token_session)
    SELECT $1, id, $3
    FROM profiles
    WHERE id = $2 AND role = 'admin' AND NOT EXISTS (SELECT FROM revoked_sessions WHERE key = $3)
    RETURNING id, profile_id, created_at, last_used_at, expires_at
)
SELECT made.id, profile_id, coalesce(name, email) AS name, made.created_at, made.last_used_at, expires_at
FROM made JOIN profiles ON profiles.id = profile_id;

-- name: use_console_session
-- The use is written once a minute, not with every request.
WITH found AS (
    SELECT session.id, profile_id, coalesce(name, email) AS name, session.created_at, last_used_at, expires_at
    FROM console_sessions AS session
    LEFT JOIN profiles ON profiles.id = profile_id
    WHERE hash = $1 AND revoked_at IS NULL AND expires_at > now()
        AND (profile_id IS NULL OR role = 'admin')
), noted AS (
    UPDATE console_sessions
    SET last_used_at = now()
    FROM found
    WHERE console_sessions.id = found.id
        AND found.last_used_at NOT BETWEEN now() - interval '1 minute' AND now() + interval '1 minute'
)
SELECT id, profile_id, name, created_at, last_used_at, expires_at FROM found;

-- name: list_console_sessions
-- The valid ones. $1 and $2: time and id of the last one seen, $3: limit.
SELECT session.id, profile_id, coalesce(name, email) AS name, session.created_at, last_used_at, expires_at
FROM console_sessions AS session
LEFT JOIN profiles ON profiles.id = profile_id
WHERE revoked_at IS NULL AND expires_at > now()
    AND ($1::timestamptz IS NULL OR (session.created_at, session.id) < ($1, $2::uuid))
ORDER BY session.created_at DESC, session.id DESC
LIMIT $3;

-- name: revoke_console_session
UPDATE console_sessions
SET revoked_at = now()
WHERE id = $1 AND revoked_at IS NULL AND expires_at > now()
RETURNING id, profile_id, created_at, last_used_at, expires_at;

-- name: revoke_console_sessions
UPDATE console_sessions
SET revoked_at = now()
WHERE revoked_at IS NULL AND expires_at > now()
RETURNING id;

-- name: remove_console_codes
DELETE FROM console_codes;

-- name: prune_console_codes
DELETE FROM console_codes WHERE expires_at < now();

-- name: prune_console_sessions
DELETE FROM console_sessions WHERE expires_at < now();
