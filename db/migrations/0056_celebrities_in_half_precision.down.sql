DROP INDEX CONCURRENTLY IF EXISTS public.celebrities_embedding_half_idx;
