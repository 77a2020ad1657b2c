ALTER TABLE celebrity_matches DROP COLUMN pack_digest;
ALTER TABLE matches DROP COLUMN pack_digest;
