CREATE INDEX CONCURRENTLY IF NOT EXISTS faces_embedding_hnsw_idx ON public.faces
    USING hnsw (embedding @extschema:vector@.vector_cosine_ops) WITH (m = 16, ef_construction = 64);
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_celebrities_embedding ON public.celebrities
    USING hnsw (embedding @extschema:vector@.vector_cosine_ops) WITH (m = 16, ef_construction = 64);
