-- A connection planned the statements of this function for each of its first five match jobs, which took longer than the
-- jobs. The plan that it kept after that serves any face and any candidates, so it is made at the first job.
ALTER FUNCTION complete_match_job(
    uuid, uuid, integer, text, float8, jsonb, float8, integer, boolean, uuid[], text
) SET plan_cache_mode = force_generic_plan;
