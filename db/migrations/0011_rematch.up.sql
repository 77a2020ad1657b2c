-- A run of batch.rematch: its options and the rules it scores by, so that only a run with the same ones is continued.
CREATE TABLE rematch_runs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    options jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz
);
CREATE INDEX idx_rematch_runs_created_at ON rematch_runs (created_at);

-- Its parts, each written in one transaction together with `completed_at`: whole schools, or a range of face ids.
CREATE TABLE rematch_shards (
    run_id uuid NOT NULL REFERENCES rematch_runs (id) ON DELETE CASCADE,
    number integer NOT NULL,
    pack_digest text NOT NULL,
    schools text[],
    first_face uuid,
    last_face uuid,
    faces integer NOT NULL CHECK (faces >= 0),
    pairs bigint CHECK (pairs >= 0),
    added integer CHECK (added >= 0),
    changed integer CHECK (changed >= 0),
    removed integer CHECK (removed >= 0),
    completed_at timestamptz,
    PRIMARY KEY (run_id, number),
    CONSTRAINT rematch_shards_kind_check CHECK (
        (schools IS NULL) = (first_face IS NOT NULL) AND (schools IS NULL) = (last_face IS NOT NULL)
    ),
    CONSTRAINT rematch_shards_counts_check CHECK (
        num_nulls(pairs, added, changed, removed, completed_at) IN (0, 5)
    )
);

-- Whether a match is in use: it has a like, a baby picture or a chat. Such a match stays even if a rematch does not
-- find it again.
CREATE FUNCTION match_in_use(match uuid) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN EXISTS (SELECT FROM reactions WHERE match_id = match AND reaction_type = 'like')
        OR EXISTS (SELECT FROM babies WHERE match_id = match)
        OR EXISTS (SELECT FROM baby_requests WHERE match_id = match)
        OR EXISTS (SELECT FROM mutual_connections WHERE match_id = match);

ALTER TABLE rematch_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE rematch_shards ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON rematch_runs, rematch_shards FROM authenticated, anon;
REVOKE EXECUTE ON FUNCTION match_in_use(uuid) FROM PUBLIC, authenticated, anon;
GRANT EXECUTE ON FUNCTION match_in_use(uuid) TO semblance_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON rematch_runs, rematch_shards TO semblance_service;
GRANT DELETE ON matches TO semblance_service;
CREATE POLICY rematch_runs_service ON rematch_runs TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY rematch_shards_service ON rematch_shards TO semblance_service USING (true) WITH CHECK (true);
