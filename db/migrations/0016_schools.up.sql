-- A name of a school in the form in which names are compared: composed, lower case, one space between words.
CREATE FUNCTION fold_school(said text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = ''
    AS $$
        SELECT lower(btrim(regexp_replace(
            normalize(said, NFC), '[ \t\n\x0B\f\r\u00A0\u1680\u2000-\u200A\u202F\u205F\u3000]+', ' ', 'g'
        ), ' '))
    $$;

-- Schools with several names. A school that is not listed here is compared by its name, letter by letter.
CREATE TABLE schools (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    -- Domains of e-mail addresses that may sign up, with all their subdomains.
    domains text[] NOT NULL DEFAULT '{}' CHECK (array_position(domains, NULL) IS NULL),
    aliases text[] NOT NULL DEFAULT '{}' CHECK (array_position(aliases, NULL) IS NULL),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_schools_page ON schools (name, id);

-- The names by which schools are found. The primary key ensures that a name means one school.
CREATE TABLE school_keys (
    key text PRIMARY KEY CHECK (key <> ''),
    school_id uuid NOT NULL REFERENCES schools (id) ON DELETE CASCADE,
    is_domain boolean NOT NULL,
    CONSTRAINT school_keys_domain_check CHECK (
        NOT is_domain OR (key ~ '^([a-z0-9-]+\.)+[a-z0-9-]+$' AND key !~ '^(edu|ac)\.[a-z]{2}$')
    )
);
CREATE INDEX idx_school_keys_school_id ON school_keys (school_id);

-- What profiles are compared by: the id of a known school, or the name of an unknown one.
ALTER TABLE profiles
    ADD COLUMN school_id uuid REFERENCES schools (id) ON DELETE SET NULL,
    ADD COLUMN school_key text GENERATED ALWAYS AS (coalesce(school_id::text, school)) STORED;
CREATE INDEX idx_profiles_school_id ON profiles (school_id) WHERE school_id IS NOT NULL;
CREATE INDEX idx_profiles_school_key_gender ON profiles (school_key, gender) WHERE profile_type = 'user';
CREATE INDEX idx_profiles_school_folded ON profiles (fold_school(school));

-- What profiles that state this name of a school are compared by.
CREATE FUNCTION school_key_of(said text) RETURNS text
    LANGUAGE sql STABLE SET search_path = ''
    AS $$
        SELECT coalesce(
            (SELECT school_id::text FROM public.school_keys WHERE key = public.fold_school(said)), said
        )
    $$;

-- The school of an e-mail address, as profiles call it, or null: the longest domain of a school at or above the
-- address, else the name that is registered below .edu, .edu.xx and .ac.xx. Users with a school may sign up.
-- semblance/schools.py does the same as the second part.
CREATE FUNCTION school_of_address(address text) RETURNS text
    LANGUAGE sql STABLE SET search_path = ''
    AS $$
        SELECT coalesce(
            (
                SELECT key
                FROM public.school_keys
                WHERE is_domain AND key = ANY (ARRAY(
                    SELECT array_to_string(labels[n:], '.') FROM generate_series(1, cardinality(labels) - 1) AS n
                ))
                ORDER BY length(key) DESC
                LIMIT 1
            ),
            substring(host FROM '(?:^|\.)([a-z0-9-]+\.(?:edu|(?:edu|ac)\.[a-z]{2}))$')
        )
        FROM (
            SELECT lower(substring(address FROM '^[^@]+@((?:[A-Za-z0-9-]+\.)+[A-Za-z0-9-]+)$')) AS host
            -- RFC 3696: no address is longer.
            WHERE length(address) <= 320
        ) AS found
        CROSS JOIN LATERAL string_to_array(host, '.') AS labels
    $$;

-- A change of schools reads all profiles, so none may change its school meanwhile. The lock is taken by the statement,
-- before it locks rows; in another order the two would deadlock.
CREATE FUNCTION hold_schools() RETURNS trigger
    LANGUAGE plpgsql SET search_path = ''
    AS $$
BEGIN
    IF TG_TABLE_NAME = 'schools' THEN
        PERFORM pg_advisory_xact_lock(4862537199014825361);
    ELSE
        PERFORM pg_advisory_xact_lock_shared(4862537199014825361);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER schools_hold BEFORE INSERT OR UPDATE OR DELETE ON schools
    FOR EACH STATEMENT EXECUTE FUNCTION hold_schools();
CREATE TRIGGER profiles_hold_schools BEFORE INSERT OR UPDATE OF school ON profiles
    FOR EACH STATEMENT EXECUTE FUNCTION hold_schools();

CREATE FUNCTION find_school() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    NEW.school_id := (SELECT school_id FROM public.school_keys WHERE key = public.fold_school(NEW.school));
    RETURN NEW;
END
$$;

CREATE TRIGGER profiles_find_school BEFORE INSERT OR UPDATE OF school ON profiles
    FOR EACH ROW EXECUTE FUNCTION find_school();

-- Profiles that state a new name of a school join it; those that state a removed name leave it.
CREATE FUNCTION name_school() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    DELETE FROM public.school_keys WHERE school_id = NEW.id;
    INSERT INTO public.school_keys (key, school_id, is_domain)
    SELECT public.fold_school(said), NEW.id, bool_or(is_domain)
    FROM (
        SELECT unnest(NEW.name || NEW.aliases) AS said, false AS is_domain
        UNION ALL
        SELECT unnest(NEW.domains), true
    ) AS names
    GROUP BY 1;
    UPDATE public.profiles
    SET school_id = NULL
    WHERE school_id = NEW.id AND NOT EXISTS (
        SELECT
        FROM public.school_keys
        WHERE school_keys.school_id = NEW.id AND key = public.fold_school(profiles.school)
    );
    UPDATE public.profiles
    SET school_id = NEW.id
    WHERE public.fold_school(school) = ANY (ARRAY(SELECT key FROM public.school_keys WHERE school_id = NEW.id))
        AND school_id IS DISTINCT FROM NEW.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER schools_updated_at BEFORE UPDATE ON schools
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER schools_name AFTER INSERT OR UPDATE ON schools
    FOR EACH ROW EXECUTE FUNCTION name_school();

DROP TRIGGER profiles_rematch ON profiles;
CREATE TRIGGER profiles_rematch AFTER UPDATE OF school, school_id, gender ON profiles
    FOR EACH ROW WHEN (
        NEW.profile_type = 'user'
        AND (OLD.school_key IS DISTINCT FROM NEW.school_key OR OLD.gender IS DISTINCT FROM NEW.gender)
    ) EXECUTE FUNCTION rematch_profile();

CREATE OR REPLACE FUNCTION handle_new_user() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
DECLARE
    said jsonb := coalesce(NEW.raw_user_meta_data, '{}');
    own_school text := public.school_of_address(NEW.email);
BEGIN
    INSERT INTO public.profiles (id, profile_type, email, name, gender, school)
    SELECT
        NEW.id,
        'user',
        NEW.email,
        coalesce(public.usable_name(said ->> 'name'), public.usable_name(said ->> 'full_name')),
        CASE WHEN said ->> 'gender' IN ('male', 'female', 'other') THEN said ->> 'gender' END,
        coalesce(public.usable_name(said ->> 'school'), own_school)
    WHERE own_school IS NOT NULL
        OR EXISTS (
            SELECT FROM public.system_settings WHERE key = 'allow_non_edu_emails' AND value = 'true'
        )
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

UPDATE system_settings
SET description = 'Whether addresses that are of no school may sign up.'
WHERE key = 'allow_non_edu_emails' AND description = 'Whether addresses outside .edu may sign up.';

ALTER TABLE schools ENABLE ROW LEVEL SECURITY;
ALTER TABLE school_keys ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON schools, school_keys FROM authenticated, anon;
REVOKE EXECUTE ON FUNCTION
    school_key_of(text), school_of_address(text), hold_schools(), find_school(), name_school()
    FROM PUBLIC, authenticated, anon;
GRANT EXECUTE ON FUNCTION school_key_of(text), school_of_address(text) TO semblance_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON schools TO semblance_service;
GRANT SELECT ON school_keys TO semblance_service;
CREATE POLICY schools_service ON schools TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY school_keys_service ON school_keys TO semblance_service USING (true) WITH CHECK (true);
