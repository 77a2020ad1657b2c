ALTER TABLE match_jobs DROP COLUMN traceparent;
ALTER TABLE inference_queue DROP COLUMN traceparent;
