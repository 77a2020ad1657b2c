DROP INDEX CONCURRENTLY IF EXISTS public.idx_celebrities_person_id;
