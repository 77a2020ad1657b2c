-- name: set_last_seen
-- Never back, never into the future. $1: profile, $2: when it was seen.
UPDATE profiles
SET last_seen = greatest(last_seen, least($2, now()))
WHERE id = $1
RETURNING last_seen;
