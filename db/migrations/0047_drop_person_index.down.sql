CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_celebrities_person_id ON public.celebrities
    (person_id, quality_score DESC NULLS LAST, id);
