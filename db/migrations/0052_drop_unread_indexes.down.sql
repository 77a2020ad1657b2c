CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_celebrity_matches_face_id ON public.celebrity_matches (face_id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_celebrity_matches_similarity ON public.celebrity_matches (face_id, similarity_score DESC);
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_celebrity_matches_created_at ON public.celebrity_matches (created_at DESC);
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_matches_face_a_id ON public.matches (face_a_id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_match_jobs_status ON public.match_jobs (status, created_at);
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_match_jobs_pending ON public.match_jobs (created_at) WHERE status = 'pending';
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_match_jobs_job_type ON public.match_jobs (job_type);
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_match_jobs_status_type_created ON public.match_jobs (status, job_type, created_at)
    WHERE status = 'pending';
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_messages_connection_id ON public.messages (connection_id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_messages_created_at ON public.messages (created_at DESC);
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_messages_read_at ON public.messages (read_at) WHERE read_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_notifications_user_id ON public.notifications (user_id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_notifications_read_at ON public.notifications (read_at) WHERE read_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_faces_age ON public.faces (age) WHERE age IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_faces_quality ON public.faces (quality_score) WHERE quality_score IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_faces_expression ON public.faces (expression) WHERE expression IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_faces_attributes ON public.faces (age, gender, quality_score, expression)
    WHERE age IS NOT NULL AND quality_score IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_celebrities_age ON public.celebrities (age);
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_celebrities_quality ON public.celebrities (quality_score);
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_celebrities_expression ON public.celebrities (expression);
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_celebrities_attributes ON public.celebrities (age, gender, quality_score, expression);
