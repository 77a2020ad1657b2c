-- Indexes that nothing reads: what begins with the same columns serves instead, or no statement asks for them. Every row
-- that is stored paid for each, and a match job three times.
DROP INDEX CONCURRENTLY IF EXISTS public.idx_celebrity_matches_face_id;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_celebrity_matches_similarity;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_celebrity_matches_created_at;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_matches_face_a_id;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_match_jobs_status;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_match_jobs_pending;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_match_jobs_job_type;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_match_jobs_status_type_created;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_messages_connection_id;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_messages_created_at;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_messages_read_at;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_notifications_user_id;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_notifications_read_at;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_faces_age;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_faces_quality;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_faces_expression;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_faces_attributes;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_celebrities_age;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_celebrities_quality;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_celebrities_expression;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_celebrities_attributes;
