-- What each bio means, by one model or, while models change, by two. Vectors of unit length, filled up with zeros if the
-- model's are shorter. Only vectors of one model can be compared.
CREATE TABLE bio_vectors (
    profile_id uuid NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    -- Digest of the text pack, or the name of a server's model.
    model text NOT NULL CHECK (model <> ''),
    embedding vector(384) STORAGE PLAIN NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (profile_id, model)
);

INSERT INTO bio_vectors (profile_id, model, embedding, created_at)
SELECT source_id, model, embedding, created_at FROM text_embeddings WHERE source = 'bio' AND chunk = 0;
CREATE INDEX idx_bio_vectors_embedding ON bio_vectors
    USING hnsw (embedding vector_cosine_ops) WITH (m = 16, ef_construction = 64);

ALTER TABLE bio_vectors ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON bio_vectors FROM authenticated, anon;
GRANT SELECT, INSERT, UPDATE, DELETE ON bio_vectors TO semblance_service;
CREATE POLICY bio_vectors_service ON bio_vectors TO semblance_service USING (true) WITH CHECK (true);
