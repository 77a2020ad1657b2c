DROP INDEX CONCURRENTLY IF EXISTS public.idx_celebrities_best_photo;
