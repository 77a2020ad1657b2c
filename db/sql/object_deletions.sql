-- name: is_deleted
-- $1: the keys by which rows may name one picture.
SELECT EXISTS (SELECT FROM object_deletions WHERE key = ANY($1))
    AND NOT EXISTS (SELECT FROM unnest($1::text[]) AS given (key) WHERE is_named_picture(key));

-- name: record_deletions
-- In the order of the keys, so that two writers with some in common do not deadlock.
INSERT INTO object_deletions (key)
SELECT key FROM unnest($1::text[]) AS given (key) WHERE NOT is_named_picture(key) ORDER BY key
ON CONFLICT DO NOTHING;

-- name: spare_named_pictures
-- Pictures that were stored again before their deletion was finished.
DELETE FROM object_deletions
WHERE is_named_picture(key);

-- name: claim_deletions
-- $1: limit. A slow storage needs seconds for a hundred pictures. Those of a worker that dies are due after the minute.
UPDATE object_deletions
SET attempts = attempts + 1, due_at = now() + interval '1 minute'
WHERE key IN (
    SELECT key
    FROM object_deletions
    WHERE due_at <= now() AND NOT is_named_picture(key)
    ORDER BY due_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
RETURNING key;

-- name: postpone_deletions
-- After failed attempts. $1: keys. At first for 2 seconds, at last for 17 minutes.
UPDATE object_deletions
SET attempts = greatest(attempts, 1), due_at = now() + interval '1 second' * 2 ^ least(greatest(attempts, 1), 10)
WHERE key = ANY($1);

-- name: recorded_deletions
-- The given keys that are recorded as deleted.
SELECT key, named_by
FROM object_deletions
WHERE key = ANY($1) AND NOT is_named_picture(key);

-- name: named_pictures
-- The given keys that rows name.
SELECT key
FROM unnest($1::text[]) AS given (key)
WHERE is_named_picture(key);

-- name: pending_deletions
-- Whether they are due or not, in the order of the keys; but not those that wait until nobody can undo the deletion. $1: their prefix, $2: the last key seen, $3: limit.
SELECT key
FROM object_deletions
WHERE starts_with(key, $1) AND key > $2 AND (attempts > 0 OR due_at <= now())
ORDER BY key
LIMIT $3;

-- name: finish_deletions
-- Returns those that nobody else has finished meanwhile.
DELETE FROM object_deletions
WHERE key = ANY($1)
RETURNING key;
