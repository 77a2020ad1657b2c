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
        coalesce(public.usable_name(said ->> 'name'), public.usable_name(said ->> 'full_name')),
        CASE WHEN said ->> 'gender' IN ('male', 'female', 'other') THEN said ->> 'gender' END,
        public.usable_name(said ->> 'school')
    WHERE lower(NEW.email) ~ '^[^@]+@([a-z0-9-]+\.)+edu$'
        OR EXISTS (
            SELECT FROM public.system_settings WHERE key = 'allow_non_edu_emails' AND value = 'true'
        )
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

UPDATE system_settings
SET description = 'Whether addresses outside .edu may sign up.'
WHERE key = 'allow_non_edu_emails' AND description = 'Whether addresses that are of no school may sign up.';

DROP TRIGGER profiles_rematch ON profiles;
CREATE TRIGGER profiles_rematch AFTER UPDATE OF school, gender ON profiles
    FOR EACH ROW WHEN (
        NEW.profile_type = 'user'
        AND (OLD.school IS DISTINCT FROM NEW.school OR OLD.gender IS DISTINCT FROM NEW.gender)
    ) EXECUTE FUNCTION rematch_profile();

DROP TRIGGER profiles_find_school ON profiles;
DROP TRIGGER profiles_hold_schools ON profiles;
DROP INDEX idx_profiles_school_folded;
ALTER TABLE profiles DROP COLUMN school_key, DROP COLUMN school_id;
DROP TABLE school_keys, schools;
DROP FUNCTION school_key_of(text);
DROP FUNCTION school_of_address(text);
DROP FUNCTION hold_schools();
DROP FUNCTION find_school();
DROP FUNCTION name_school();
DROP FUNCTION fold_school(text);
