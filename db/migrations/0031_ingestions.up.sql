-- Ingestions that operators start from the console: where the pictures come from, and how far each is.
CREATE TABLE ingestions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    -- A folder, manifest or bucket; null: files that were uploaded.
    source text,
    -- Of pictures without one.
    category text,
    started_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- The job that works on it, or did last; null while files arrive.
    ray_job uuid REFERENCES ray_jobs (id),
    -- When each input had been tried once.
    listed_at timestamptz,
    -- When the job had nothing more to do; null again while another one works on decisions.
    ended_at timestamptz,
    total bigint NOT NULL DEFAULT 0 CHECK (total >= 0),
    done bigint NOT NULL DEFAULT 0 CHECK (done >= 0),
    taken bigint NOT NULL DEFAULT 0 CHECK (taken >= 0),
    -- The gallery had these pictures before, or they came twice.
    present bigint NOT NULL DEFAULT 0 CHECK (present >= 0)
);
CREATE INDEX idx_ingestions_created_at ON ingestions (created_at DESC, id DESC);
CREATE INDEX idx_ingestions_ray_job ON ingestions (ray_job);

-- What was uploaded. An archive comes in parts; the job takes its members out and removes the parts.
CREATE TABLE ingestion_files (
    ingestion_id uuid NOT NULL REFERENCES ingestions (id) ON DELETE CASCADE,
    number integer NOT NULL CHECK (number >= 0),
    kind text NOT NULL CHECK (kind IN ('file', 'part', 'member')),
    -- Of the part or member in its archive.
    place integer NOT NULL DEFAULT 0 CHECK (place >= 0),
    -- As the client or the archive calls it, with slashes; no file has this name.
    path text NOT NULL,
    size bigint NOT NULL CHECK (size >= 0),
    -- In the picture store; null for a member that was not taken out, for this reason.
    key text,
    outcome text,
    reason text,
    -- How many parts the archive has.
    parts integer CHECK (parts > place),
    PRIMARY KEY (ingestion_id, number, kind, place),
    CHECK ((kind = 'part') = (parts IS NOT NULL)),
    CHECK ((key IS NULL) = (outcome IS NOT NULL))
);
CREATE INDEX idx_ingestion_files_key ON ingestion_files (key);

-- Inputs that were not taken, until an operator has decided.
CREATE TABLE ingestion_refusals (
    -- Follows from the ingestion and the input.
    id uuid PRIMARY KEY,
    ingestion_id uuid NOT NULL REFERENCES ingestions (id) ON DELETE CASCADE,
    label text NOT NULL,
    -- The picture and what is stated of it; null where that cannot be used.
    item jsonb,
    outcome text NOT NULL,
    reason text NOT NULL,
    decision text CHECK (decision IN ('largest', 'anyway', 'again', 'discard')),
    settled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX idx_ingestion_refusals_open ON ingestion_refusals (ingestion_id, created_at, id)
    WHERE settled_at IS NULL;
CREATE INDEX idx_ingestion_refusals_ingestion_id ON ingestion_refusals (ingestion_id);

ALTER TABLE ingestions ENABLE ROW LEVEL SECURITY;
ALTER TABLE ingestion_files ENABLE ROW LEVEL SECURITY;
ALTER TABLE ingestion_refusals ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON ingestions, ingestion_files, ingestion_refusals FROM authenticated, anon;
GRANT SELECT, INSERT, UPDATE, DELETE ON ingestions, ingestion_files, ingestion_refusals TO semblance_service;
CREATE POLICY ingestions_service ON ingestions TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY ingestion_files_service ON ingestion_files TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY ingestion_refusals_service ON ingestion_refusals TO semblance_service USING (true) WITH CHECK (true);
