CREATE OR REPLACE FUNCTION index_bio() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    DELETE FROM public.bio_vectors WHERE profile_id = NEW.id;
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

DELETE FROM text_embeddings WHERE source = 'bio';
