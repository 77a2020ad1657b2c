-- The trace of the request that queued a job, as W3C Trace Context writes it; null if it was not traced. A transaction
-- says it by the setting of this name.
ALTER TABLE match_jobs
    ADD COLUMN traceparent text DEFAULT nullif(current_setting('semblance.traceparent', true), '');
ALTER TABLE inference_queue
    ADD COLUMN traceparent text DEFAULT nullif(current_setting('semblance.traceparent', true), '');
