-- Keys of the face-compute endpoints. Only the SHA-256 of a key is stored. A key is 256 random bits, which cannot be
-- guessed, so a slow hash as for passwords would add nothing.
CREATE TABLE api_keys (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL CHECK (name <> ''),
    -- The beginning of the key, by which its owner recognizes it.
    prefix text NOT NULL,
    hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    scopes text[] NOT NULL CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['compute']),
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    revoked_at timestamptz
);

-- The application checks keys and records their use. Only the owner makes and revokes them, by command.
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
GRANT SELECT, UPDATE (last_used_at) ON api_keys TO semblance_service;
REVOKE ALL ON api_keys FROM authenticated, anon;
CREATE POLICY api_keys_service ON api_keys TO semblance_service USING (true) WITH CHECK (true);

-- On Supabase the profile is created with the account, but only if its address may sign up: the application checks that
-- only when it creates a profile, at the first token. Nothing in the account's metadata may make the signup fail.
CREATE OR REPLACE FUNCTION handle_new_user() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
DECLARE
    said jsonb := coalesce(NEW.raw_user_meta_data, '{}');
BEGIN
    INSERT INTO public.profiles (id, profile_type, email, name, gender, school)
    SELECT
        NEW.id,
        'user',
        NEW.email,
        coalesce(said ->> 'name', said ->> 'full_name'),
        CASE WHEN said ->> 'gender' IN ('male', 'female', 'other') THEN said ->> 'gender' END,
        said ->> 'school'
    WHERE lower(NEW.email) ~ '^[^@]+@([a-z0-9-]+\.)+edu$'
        OR EXISTS (
            SELECT FROM public.system_settings WHERE key = 'allow_non_edu_emails' AND value = 'true'
        )
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
