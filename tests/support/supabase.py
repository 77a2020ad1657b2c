"""A new Supabase project, as far as the migrations depend on it."""

from __future__ import annotations

import psycopg

SUPABASE = """
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO anon, authenticated;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon, authenticated;
    CREATE SCHEMA extensions;
    CREATE EXTENSION vector WITH SCHEMA extensions;
    CREATE SCHEMA auth;
    CREATE TABLE auth.users (id uuid PRIMARY KEY, email text, raw_user_meta_data jsonb);
    CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE
        AS $$
            SELECT coalesce(
                nullif(current_setting('request.jwt.claim.sub', true), ''),
                nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
            )::uuid
        $$;
    GRANT USAGE ON SCHEMA auth, extensions TO anon, authenticated;
"""
"""What exists before Semblance. The server of the tests already has the roles."""


def run(dsn: str, sql: str) -> None:
    """Execute statements as the owner, each in a separate transaction."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql)
