ALTER TABLE mutual_connections DROP COLUMN blocked_by;
DROP TRIGGER matches_count_none ON matches;
DROP TRIGGER matches_count_removed ON matches;
DROP TRIGGER matches_count_added ON matches;
DROP FUNCTION count_matches();
DROP TABLE match_counts;
DROP INDEX idx_profiles_online;
DROP INDEX idx_matches_feed;
