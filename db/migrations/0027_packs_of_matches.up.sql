-- The model pack whose embeddings a match was found with, so that its similarity is read on the right scale until the
-- faces are matched again after a change of packs. Unknown for older matches, which a rematch completes.
ALTER TABLE matches ADD COLUMN pack_digest text;
ALTER TABLE celebrity_matches ADD COLUMN pack_digest text;
