-- name: set_last_seen
-- Never back, never into the future. No row of those who hide it: on Supabase a client may watch for its writes.
-- $1: profile, $2: when it was seen.
UPDATE profiles
SET last_seen = greatest(last_seen, least($2, now()))
WHERE id = $1 AND show_presence
RETURNING last_seen;
