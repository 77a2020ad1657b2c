ALTER TABLE ray_jobs
    DROP COLUMN submission_id,
    DROP COLUMN heard_at;
