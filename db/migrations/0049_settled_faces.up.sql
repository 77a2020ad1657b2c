-- What every search for celebrities by the embeddings of a pack depends on, as a rematch last saw it. Another number
-- stands for other rules, or for another gallery, which is told by where in `celebrity_changes` it was read.
CREATE TABLE match_generations (
    pack_digest text PRIMARY KEY,
    generation bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    rules jsonb NOT NULL,
    snapshot text NOT NULL,
    last_change bigint NOT NULL,
    history text NOT NULL,
    looked_at timestamptz NOT NULL DEFAULT now()
);

-- Faces whose matches with celebrities are what a search of that generation found. content: SHA-256 of what was searched
-- with. matches: a hash of the stored matches; once one of them is added, changed or removed, it is another.
CREATE TABLE settled_faces (
    face_id uuid PRIMARY KEY REFERENCES faces (id) ON DELETE CASCADE,
    generation bigint NOT NULL,
    content bytea NOT NULL,
    matches bigint NOT NULL
);

ALTER TABLE match_generations ENABLE ROW LEVEL SECURITY;
ALTER TABLE settled_faces ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON match_generations, settled_faces FROM authenticated, anon;
REVOKE ALL ON SEQUENCE match_generations_generation_seq FROM authenticated, anon;
GRANT SELECT, INSERT, UPDATE ON match_generations, settled_faces TO semblance_service;
CREATE POLICY match_generations_service ON match_generations TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY settled_faces_service ON settled_faces TO semblance_service USING (true) WITH CHECK (true);
