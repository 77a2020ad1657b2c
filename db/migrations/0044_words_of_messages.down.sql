DROP INDEX CONCURRENTLY IF EXISTS public.idx_messages_words;
