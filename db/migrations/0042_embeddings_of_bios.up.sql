-- The vectors of bios move to text_embeddings as they are; none is made again. Only who changes a bio waits meanwhile.
LOCK TABLE bio_vectors IN SHARE MODE;
INSERT INTO text_embeddings (source, source_id, chunk, model, content_hash, embedding, created_at)
SELECT 'bio', profile_id, 0, model, sha256(convert_to(bio, 'UTF8')), embedding, bio_vectors.created_at
FROM bio_vectors
JOIN profiles ON profiles.id = profile_id
WHERE bio IS NOT NULL
ON CONFLICT DO NOTHING;

CREATE OR REPLACE FUNCTION index_bio() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    PERFORM public.forget_text('bio', NEW.id, NEW.bio);
    IF NEW.bio IS NULL THEN
        DELETE FROM public.bio_words WHERE profile_id = NEW.id;
        RETURN NULL;
    END IF;
    INSERT INTO public.bio_words (profile_id, words)
    VALUES (NEW.id, to_tsvector('pg_catalog.english', NEW.bio))
    ON CONFLICT (profile_id) DO UPDATE SET words = excluded.words;
    PERFORM public.queue_text('bio', NEW.id);
    RETURN NULL;
END
$$;
