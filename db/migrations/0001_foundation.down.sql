-- The extension stays: it may have been there before, and other schemas may use it.

DO $$
BEGIN
    IF obj_description(to_regprocedure('auth.uid()'), 'pg_proc')
            = 'Stands in for the function of this name on Supabase.' THEN
        DROP FUNCTION auth.uid();
        IF NOT EXISTS (
            SELECT FROM pg_depend
            WHERE refclassid = 'pg_namespace'::regclass AND refobjid = 'auth'::regnamespace AND deptype = 'n'
        ) THEN
            DROP SCHEMA auth;
        END IF;
    END IF;
END
$$;
