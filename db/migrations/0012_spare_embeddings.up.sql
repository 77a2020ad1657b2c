-- Embeddings of another model pack than the one that serves, beside the rows they belong to: filled while the
-- other pack serves, swapped with it in one transaction, and then what a way back is made of. Of any pack, as
-- long as somebody keeps them. Stored PLAIN, three to a page, as in the tables they are for.
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

-- The application fills and removes them. What it serves is changed by the owner alone.
ALTER TABLE spare_face_embeddings ENABLE ROW LEVEL SECURITY;
ALTER TABLE spare_celebrity_embeddings ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON spare_face_embeddings, spare_celebrity_embeddings FROM authenticated, anon;
GRANT SELECT, INSERT, DELETE ON spare_face_embeddings, spare_celebrity_embeddings TO semblance_service;
CREATE POLICY spare_face_embeddings_service ON spare_face_embeddings TO semblance_service
    USING (true) WITH CHECK (true);
CREATE POLICY spare_celebrity_embeddings_service ON spare_celebrity_embeddings TO semblance_service
    USING (true) WITH CHECK (true);
