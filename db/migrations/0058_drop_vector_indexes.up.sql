-- Those in half precision serve instead.
DROP INDEX CONCURRENTLY IF EXISTS public.faces_embedding_hnsw_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_celebrities_embedding;
