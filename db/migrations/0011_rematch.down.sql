REVOKE DELETE ON matches FROM semblance_service;
DROP FUNCTION match_in_use(uuid);
DROP TABLE rematch_shards;
DROP TABLE rematch_runs;
