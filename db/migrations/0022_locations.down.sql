CREATE OR REPLACE FUNCTION record_object_deletion() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
DECLARE
    gone text;
BEGIN
    EXECUTE format('SELECT ($1).%I', TG_ARGV[0]) INTO gone USING OLD;
    IF gone NOT LIKE 'http%' AND NOT public.is_named_picture(gone) THEN
        INSERT INTO public.object_deletions (key) VALUES (gone) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$;

ALTER TABLE object_deletions DROP COLUMN named_by;
DROP FUNCTION is_foreign_address(text);
