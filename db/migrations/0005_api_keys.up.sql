-- Keys of the face-compute endpoints. Only the SHA-256 of a key is kept: a key is 256 random bits, which
-- nobody finds by trying, so a slow hash as for passwords would protect nothing more.
CREATE TABLE api_keys (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL CHECK (name <> ''),
    -- How the key begins, so that its owner knows it again.
    prefix text NOT NULL,
    hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    scopes text[] NOT NULL CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['compute']),
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    revoked_at timestamptz
);

-- The application checks keys and notes their use. Who makes and revokes them is the owner, by command.
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
GRANT SELECT, UPDATE (last_used_at) ON api_keys TO semblance_service;
REVOKE ALL ON api_keys FROM authenticated, anon;
CREATE POLICY api_keys_service ON api_keys TO semblance_service USING (true) WITH CHECK (true);

-- On Supabase a profile begins with the account, if its address may sign up; else it would be there before
-- the first token, at which the application asks for that. What the account says of itself must not fail its
-- signup.
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
