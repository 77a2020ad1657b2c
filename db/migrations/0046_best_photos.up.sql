CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_celebrities_best_photo ON public.celebrities
    (person_id, quality_score DESC NULLS LAST, id) INCLUDE (seen_gender);
