-- People of the gallery are listed and searched by name.
ALTER TABLE people ADD COLUMN folded_name text NOT NULL GENERATED ALWAYS AS (fold_school(name)) STORED;
CREATE INDEX idx_people_folded_name ON people (folded_name, id);

-- What operators deleted from the gallery, for as long as it can be undone: each deletion, and the rows that went with
-- it as JSON, which keeps every value of theirs exactly.
CREATE TABLE gallery_deletions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    people integer NOT NULL CHECK (people >= 0),
    photos integer NOT NULL CHECK (photos >= 0),
    deleted_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_gallery_deletions_deleted_at ON gallery_deletions (deleted_at);

CREATE TABLE gallery_deleted_rows (
    deletion_id uuid NOT NULL REFERENCES gallery_deletions (id) ON DELETE CASCADE,
    relation text NOT NULL
        CHECK (relation IN ('people', 'celebrities', 'celebrity_matches', 'spare_celebrity_embeddings')),
    content jsonb NOT NULL
);
CREATE INDEX idx_gallery_deleted_rows_deletion_id ON gallery_deleted_rows (deletion_id);

ALTER TABLE gallery_deletions ENABLE ROW LEVEL SECURITY;
ALTER TABLE gallery_deleted_rows ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON gallery_deletions, gallery_deleted_rows FROM authenticated, anon;
GRANT SELECT, INSERT, UPDATE, DELETE ON gallery_deletions TO semblance_service;
GRANT SELECT, INSERT ON gallery_deleted_rows TO semblance_service;
CREATE POLICY gallery_deletions_service ON gallery_deletions TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY gallery_deleted_rows_service ON gallery_deleted_rows TO semblance_service USING (true) WITH CHECK (true);

-- Operators edit people, merge and split them, and delete photos.
GRANT UPDATE (name, bio, category, gender), DELETE ON people TO semblance_service;
GRANT UPDATE (name, bio, category, gender, person_id), DELETE ON celebrities TO semblance_service;
