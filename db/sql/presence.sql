-- name: set_last_seen
-- Never moves back or into the future. Does not write rows of users who hide their presence, because on Supabase
-- clients may watch for writes. $1: profile, $2: when it was seen.
UPDATE profiles
SET last_seen = greatest(last_seen, least($2, now()))
WHERE id = $1 AND show_presence
RETURNING last_seen;
