CREATE INDEX CONCURRENTLY IF NOT EXISTS faces_embedding_half_idx ON public.faces
    USING hnsw (
        (@extschema:vector@.l2_normalize(embedding)::@extschema:vector@.halfvec(512))
        @extschema:vector@.halfvec_cosine_ops
    ) WITH (m = 16, ef_construction = 64);
