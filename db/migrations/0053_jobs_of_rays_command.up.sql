-- Jobs that were submitted by Ray's own command, whose ids are no UUIDs, and when a job last told how far it is.
ALTER TABLE ray_jobs
    ADD COLUMN submission_id text,
    ADD COLUMN heard_at timestamptz;
