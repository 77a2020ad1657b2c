-- Whether what a row names is the address of another host, as rows of the old app may have it, and no key of
-- ours. Written so that queries are planned as if it stood in them.
CREATE FUNCTION is_foreign_address(named text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN named ~ '^https?://';

-- The table whose row named the picture; null where there was none yet. Pictures of the old app lie in a place
-- of their own for each table.
ALTER TABLE object_deletions ADD COLUMN named_by text CHECK (named_by IN ('faces', 'celebrities', 'babies'));

-- The argument names the column. The address of another host is not ours to remove, and a picture that another
-- row still names stays.
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
