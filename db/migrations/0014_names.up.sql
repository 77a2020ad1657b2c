-- The name as it is stored, or null if it is not acceptable. The rules and their reasons are in semblance/names.py; of
-- marks that stand alone, only the common ones are known here.
CREATE FUNCTION usable_name(said text) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = ''
    AS $$
        SELECT name
        FROM (SELECT regexp_replace(
            normalize(said, NFC), '[\u00AD\u034F\u061C\u200E\u200F\u2060\uFEFF]', '', 'g'
        ) AS kept) AS dropped
        CROSS JOIN LATERAL (SELECT btrim(regexp_replace(
            btrim(kept, E' \t\n\x0B\f\r'), '[ \u00A0\u1680\u2000-\u200A\u202F\u205F\u3000]+', ' ', 'g'
        ), ' ') AS name) AS spaced
        WHERE length(name) <= 100
            AND name ~ (
                '[^ \u0300-\u036F\u0483-\u0489\u0591-\u05BD\u064B-\u065F\u1AB0-\u1AFF\u1DC0-\u1DFF\u200C\u200D'
                '\u20D0-\u20FF\uFE00-\uFE0F\uFE20-\uFE2F\U000E0100-\U000E01EF]'
            )
            -- Without the joiners that join.
            AND regexp_replace(name,
                '(?<=[\u094D\u09CD\u0A4D\u0ACD\u0B4D\u0BCD\u0C4D\u0CCD\u0D3B\u0D3C\u0D4D\u0DCA\u1039\u103A\u17D2\u1B44\u1BAA\uA9C0])[\u200C\u200D]'
                '|\u200D(?=[\u094D\u09CD\u0A4D\u0ACD\u0B4D\u0BCD\u0C4D\u0CCD\u0D3B\u0D3C\u0D4D\u0DCA\u1039\u103A\u17D2\u1B44\u1BAA\uA9C0])'
                '|(?<=[\u0600-\u08FF\u1800-\u18AF\uA840-\uA873\uFB50-\uFDFF\uFE70-\uFEFC\U0001E900-\U0001E95F])[\u200C\u200D](?=[\u0600-\u08FF\u1800-\u18AF\uA840-\uA873\uFB50-\uFDFF\uFE70-\uFEFC\U0001E900-\U0001E95F])'
                '|(?<=[\u2190-\u2BFF\uFE0F\U0001F000-\U0001FAFF])\u200D(?=[\u2190-\u2BFF\uFE0F\U0001F000-\U0001FAFF])',
                '', 'g'
            ) !~ (
                '[\u0001-\u001F\u007F-\u009F\u200B-\u200D\u2028-\u202E\u2061-\u206F\u0600-\u0605\u06DD\u070F\u0890'
                '\u0891\u08E2\u180E\uFFF0-\uFFFB\U000110BD\U000110CD\U00013430-\U0001343F\U0001BCA0-\U0001BCA3'
                '\U0001D173-\U0001D17A\U000E0000-\U000E00FF\U000E01F0-\U000E0FFF\u115F\u1160\u3164\uFFA0\u2800'
                '\uFFFC\U00013441\U00013442\U0001D159\uE000-\uF8FF\U000F0000-\U0010FFFF\uFDD0-\uFDEF\uFFFE\uFFFF]'
            )
    $$;

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

REVOKE EXECUTE ON FUNCTION usable_name(text) FROM PUBLIC, authenticated, anon;
