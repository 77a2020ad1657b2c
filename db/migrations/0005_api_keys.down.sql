DROP TABLE api_keys;

CREATE OR REPLACE FUNCTION handle_new_user() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
DECLARE
    said jsonb := coalesce(NEW.raw_user_meta_data, '{}');
BEGIN
    INSERT INTO public.profiles (id, profile_type, email, name, gender, school)
    VALUES (
        NEW.id,
        'user',
        NEW.email,
        coalesce(said ->> 'name', said ->> 'full_name'),
        CASE WHEN said ->> 'gender' IN ('male', 'female', 'other') THEN said ->> 'gender' END,
        said ->> 'school'
    )
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
