-- Whether a row names an address of another host, as rows of the old app may, and not a key of ours. Inlined into the
-- queries that call it.
CREATE FUNCTION is_foreign_address(named text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN named ~ '^https?://';

-- The table whose row named the picture; null if there was no row yet. The old app keeps the pictures of each table in
-- a separate place.
ALTER TABLE object_deletions ADD COLUMN named_by text CHECK (named_by IN ('faces', 'celebrities', 'babies'));

-- The argument names the column. The address of another host is not ours to remove. A picture that another row still
-- names stays.
CREATE OR REPLACE FUNCTION record_object_deletion() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
DECLARE
    gone text;
BEGIN
    EXECUTE format('SELECT ($1).%I', TG_ARGV[0]) INTO gone USING OLD;
    IF NOT public.is_foreign_address(gone) AND NOT public.is_named_picture(gone) THEN
        INSERT INTO public.object_deletions (key, named_by) VALUES (gone, TG_TABLE_NAME) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION is_foreign_address(text) FROM PUBLIC, authenticated, anon;
GRANT EXECUTE ON FUNCTION is_foreign_address(text) TO semblance_service;
