-- What the schema depends on: pgvector and auth.uid(). Supabase has both; elsewhere they are made here.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector') THEN
        IF EXISTS (SELECT FROM pg_namespace WHERE nspname = 'extensions') THEN
            CREATE EXTENSION vector WITH SCHEMA extensions;
        ELSE
            CREATE EXTENSION vector;
        END IF;
    END IF;
END
$$;

DO $$
BEGIN
    IF to_regprocedure('auth.uid()') IS NULL THEN
        CREATE SCHEMA IF NOT EXISTS auth;
        GRANT USAGE ON SCHEMA auth TO PUBLIC;

        -- The caller's profile: the claim `sub` of the token, as the connection's owner has set it.
        CREATE FUNCTION auth.uid() RETURNS uuid
            LANGUAGE sql STABLE SET search_path = ''
            AS $function$
                SELECT coalesce(
                    nullif(current_setting('request.jwt.claim.sub', true), ''),
                    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
                )::uuid
            $function$;
        COMMENT ON FUNCTION auth.uid() IS 'Stands in for the function of this name on Supabase.';
    END IF;
END
$$;

-- The table of versions: on Supabase it would be open to the internet like every other.
ALTER TABLE alembic_version ENABLE ROW LEVEL SECURITY;
