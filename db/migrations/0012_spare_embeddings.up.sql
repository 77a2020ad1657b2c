-- Embeddings of another model pack than the one that serves: filled in while that pack serves, then swapped with its
-- embeddings in one transaction, which keeps those for the way back. Of any number of packs, until they are dropped.
-- Stored PLAIN, three to a page, as in the tables they belong to.
CREATE TABLE spare_face_embeddings (
    face_id uuid NOT NULL REFERENCES faces (id) ON DELETE CASCADE,
    pack_digest text NOT NULL,
    embedding vector(512) STORAGE PLAIN NOT NULL,
    PRIMARY KEY (face_id, pack_digest)
) WITH (toast_tuple_target = 2712);

CREATE TABLE spare_celebrity_embeddings (
    celebrity_id uuid NOT NULL REFERENCES celebrities (id) ON DELETE CASCADE,
    pack_digest text NOT NULL,
    embedding vector(512) STORAGE PLAIN NOT NULL,
    PRIMARY KEY (celebrity_id, pack_digest)
) WITH (toast_tuple_target = 2712);

-- The application fills and removes them. Only the owner changes which pack serves.
ALTER TABLE spare_face_embeddings ENABLE ROW LEVEL SECURITY;
ALTER TABLE spare_celebrity_embeddings ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON spare_face_embeddings, spare_celebrity_embeddings FROM authenticated, anon;
GRANT SELECT, INSERT, DELETE ON spare_face_embeddings, spare_celebrity_embeddings TO semblance_service;
CREATE POLICY spare_face_embeddings_service ON spare_face_embeddings TO semblance_service
    USING (true) WITH CHECK (true);
CREATE POLICY spare_celebrity_embeddings_service ON spare_celebrity_embeddings TO semblance_service
    USING (true) WITH CHECK (true);
