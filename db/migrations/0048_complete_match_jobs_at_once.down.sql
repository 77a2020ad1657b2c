DROP FUNCTION complete_match_job(uuid, uuid, integer, text, float8, jsonb, float8, integer, boolean, uuid[], text);
DROP FUNCTION best_celebrities(uuid, text, float8, jsonb, float8, integer, uuid[]);
DROP FUNCTION best_users(uuid, text, float8, jsonb, float8, integer);
