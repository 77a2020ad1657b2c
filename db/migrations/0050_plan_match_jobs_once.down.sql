ALTER FUNCTION complete_match_job(
    uuid, uuid, integer, text, float8, jsonb, float8, integer, boolean, uuid[], text
) RESET plan_cache_mode;
