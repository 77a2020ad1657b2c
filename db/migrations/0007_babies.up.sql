-- Keys with which clients repeat a request for a baby picture without making another one (the header Idempotency-Key).
-- The match is the whole content of such a request. `claim` is the process that works on it until `claimed_until`,
-- after which it is taken for dead; the baby is the result.
CREATE TABLE baby_requests (
    profile_id uuid NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    key text NOT NULL CHECK (key <> ''),
    match_id uuid NOT NULL REFERENCES matches (id) ON DELETE CASCADE,
    claim uuid NOT NULL,
    claimed_until timestamptz NOT NULL,
    baby_id uuid REFERENCES babies (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (profile_id, key)
);
CREATE INDEX idx_baby_requests_match_id ON baby_requests (match_id);
CREATE INDEX idx_baby_requests_baby_id ON baby_requests (baby_id);
CREATE INDEX idx_baby_requests_created_at ON baby_requests (created_at);

CREATE INDEX idx_babies_page ON babies (generated_by_profile_id, created_at DESC, id DESC);
-- Few of the stored calls are in progress.
CREATE INDEX idx_generation_logs_processing ON generation_logs (profile_id, created_at)
    WHERE status = 'processing';

ALTER TABLE baby_requests ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON baby_requests TO semblance_service;
REVOKE ALL ON baby_requests FROM authenticated, anon;
CREATE POLICY baby_requests_service ON baby_requests TO semblance_service USING (true) WITH CHECK (true);
