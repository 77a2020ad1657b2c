-- The revision of the schema, which only the owner can read in the table itself. Null in a database that was not
-- migrated.
CREATE FUNCTION schema_revision() RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    IF to_regclass('public.alembic_version') IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN (SELECT version_num FROM public.alembic_version);
END
$$;
REVOKE ALL ON FUNCTION schema_revision() FROM PUBLIC, anon, authenticated;
GRANT EXECUTE ON FUNCTION schema_revision() TO semblance_service;
