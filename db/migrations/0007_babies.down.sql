DROP INDEX idx_generation_logs_processing;
DROP INDEX idx_babies_page;
DROP TABLE baby_requests;
