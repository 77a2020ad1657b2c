-- name: is_deleted
SELECT EXISTS (SELECT FROM object_deletions WHERE key = $1);

-- name: record_deletions
-- In the order of the keys, so that two writers with some in common do not wait for each other.
INSERT INTO object_deletions (key)
SELECT key FROM unnest($1::text[]) AS given (key) ORDER BY key
ON CONFLICT DO NOTHING;

-- name: spare_named_pictures
-- Pictures that came again before their deletion was finished.
DELETE FROM object_deletions
WHERE due_at <= now() AND EXISTS (SELECT FROM celebrities WHERE image_path = key);

-- name: claim_deletions
-- $1: limit. Whoever claims has until the next attempt is due, first after 2 seconds, at last every 17 minutes.
UPDATE object_deletions
SET attempts = attempts + 1, due_at = now() + interval '1 second' * 2 ^ least(attempts + 1, 10)
WHERE key IN (
    SELECT key
    FROM object_deletions
    WHERE due_at <= now()
    ORDER BY due_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
RETURNING key;

-- name: finish_deletions
DELETE FROM object_deletions
WHERE key = ANY($1);
