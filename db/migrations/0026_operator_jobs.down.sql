DROP INDEX idx_match_jobs_status_page;
DROP TABLE rescorings;
DROP TABLE ray_jobs;
