DROP INDEX CONCURRENTLY IF EXISTS public.faces_embedding_half_idx;
