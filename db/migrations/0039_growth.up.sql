-- Tables that grow without end are vacuumed and analyzed after a fiftieth of their rows has changed, not a fifth and a
-- tenth: of ten million matches the default leaves two million dead rows in every index, and statistics in which the
-- latest million is missing. Events and match jobs leave one to three dead rows each, because what changes is indexed.
ALTER TABLE matches SET (
    autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_vacuum_scale_factor = 0.02
);
ALTER TABLE celebrity_matches SET (
    autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_vacuum_scale_factor = 0.02
);
ALTER TABLE match_jobs SET (autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE events SET (autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE notifications SET (autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_scale_factor = 0.02);

-- A count goes up many times a day and is in no index: with room on its page, the new row needs no index entry.
ALTER TABLE user_daily_quotas SET (fillfactor = 70);

-- Old rows are removed.
GRANT DELETE ON generation_logs, user_daily_quotas TO semblance_service;
