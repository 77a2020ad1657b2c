-- The Ray jobs that operators start, as far as Ray itself does not keep them: who started one, and how far it is.
CREATE TABLE ray_jobs (
    -- Ray's submission id.
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('ingest', 'rematch', 'reembed', 'import_qdrant')),
    arguments text[] NOT NULL,
    started_by text NOT NULL,
    status text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'running', 'succeeded', 'failed', 'stopped')),
    -- Told by the job: how much is done of how much, and its second count.
    done bigint NOT NULL DEFAULT 0 CHECK (done >= 0),
    total bigint CHECK (total >= 0),
    counted bigint NOT NULL DEFAULT 0 CHECK (counted >= 0),
    -- Why it failed.
    message text,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);
CREATE INDEX idx_ray_jobs_created_at ON ray_jobs (created_at, id);

-- Applying the current rules to stored matches: what is asked for, and how far it is. A worker holds one until
-- its lease ends; then another goes on.
CREATE TABLE rescorings (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    started_by text NOT NULL,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'running', 'completed', 'failed')),
    total bigint CHECK (total >= 0),
    done bigint NOT NULL DEFAULT 0 CHECK (done >= 0),
    rescored bigint NOT NULL DEFAULT 0 CHECK (rescored >= 0),
    removed bigint NOT NULL DEFAULT 0 CHECK (removed >= 0),
    error_message text,
    created_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    locked_by uuid,
    lease_until timestamptz
);
CREATE UNIQUE INDEX rescorings_one_open ON rescorings ((true)) WHERE status IN ('pending', 'running');
CREATE INDEX idx_rescorings_created_at ON rescorings (created_at DESC);

-- Lists of match jobs page by page, and the throughput of an hour.
CREATE INDEX idx_match_jobs_status_page ON match_jobs (status, created_at, id);

ALTER TABLE ray_jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE rescorings ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON ray_jobs, rescorings FROM authenticated, anon;
GRANT SELECT, INSERT, UPDATE ON ray_jobs, rescorings TO semblance_service;
CREATE POLICY ray_jobs_service ON ray_jobs TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY rescorings_service ON rescorings TO semblance_service USING (true) WITH CHECK (true);
