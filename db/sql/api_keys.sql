-- name: create_api_key
INSERT INTO api_keys (name, prefix, hash, scopes)
VALUES ($1, $2, $3, $4)
RETURNING id, name, prefix, scopes, created_at, last_used_at, revoked_at;

-- name: list_api_keys
SELECT id, name, prefix, scopes, created_at, last_used_at, revoked_at
FROM api_keys
ORDER BY created_at, id;

-- name: revoke_api_key
-- The time of the first revocation stays; the application may not change a revoked key.
WITH revoked AS (
    UPDATE api_keys
    SET revoked_at = now()
    WHERE id = $1 AND revoked_at IS NULL
    RETURNING id, name, prefix, scopes, created_at, last_used_at, revoked_at
)
SELECT id, name, prefix, scopes, created_at, last_used_at, revoked_at, true AS changed FROM revoked
UNION ALL
SELECT id, name, prefix, scopes, created_at, last_used_at, revoked_at, false
FROM api_keys
WHERE id = $1 AND revoked_at IS NOT NULL;

-- name: use_api_key
-- The use is written once a minute, not with every request.
WITH found AS (
    SELECT id FROM api_keys WHERE hash = $1 AND $2 = ANY (scopes) AND revoked_at IS NULL
), noted AS (
    UPDATE api_keys
    SET last_used_at = now()
    FROM found
    WHERE api_keys.id = found.id
        AND (
            last_used_at IS NULL
            OR last_used_at NOT BETWEEN now() - interval '1 minute' AND now() + interval '1 minute'
        )
)
SELECT id FROM found;
