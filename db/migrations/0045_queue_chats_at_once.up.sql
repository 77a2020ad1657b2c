-- As before, in time that grows with the messages and not with their square.
CREATE OR REPLACE FUNCTION index_chats(chats uuid[]) RETURNS void
    LANGUAGE plpgsql SET search_path = ''
    AS $$
DECLARE
    searchable uuid[] := ARRAY(SELECT id FROM public.searchable_chats WHERE id = ANY (chats));
    closed uuid[] := ARRAY(SELECT unnest(chats) EXCEPT SELECT unnest(searchable));
BEGIN
    DELETE FROM public.text_embeddings AS made
    USING public.messages
    WHERE made.message_id = messages.id AND messages.connection_id = ANY (closed);
    DELETE FROM public.inference_queue
    WHERE id IN (
        SELECT job.id
        FROM public.inference_queue AS job
        JOIN public.messages ON messages.id = job.message_id
        WHERE messages.connection_id = ANY (closed) AND job.kind = 'embed' AND job.status = 'pending'
        FOR UPDATE OF job SKIP LOCKED
    );
    INSERT INTO public.inference_queue (kind, profile_id, message_id)
    SELECT 'embed', profile_id, message_id
    FROM public.embeddable_texts AS found
    WHERE connection_id = ANY (searchable)
        -- Read once: looked up for each message, the jobs just queued would be read again and again.
        AND found.message_id NOT IN (
            SELECT job.message_id
            FROM public.inference_queue AS job
            WHERE job.message_id IS NOT NULL AND job.kind = 'embed' AND job.status = 'pending'
        );
END
$$;
