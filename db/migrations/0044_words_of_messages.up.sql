CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_messages_words ON public.messages
    USING gin (to_tsvector('pg_catalog.english', content)) WHERE message_type <> 'image';
