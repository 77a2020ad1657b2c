DO $$
BEGIN
    IF to_regclass('auth.users') IS NOT NULL THEN
        DROP TRIGGER IF EXISTS on_auth_user_created ON auth.users;
    END IF;
END
$$;

ALTER TABLE profiles DROP CONSTRAINT profiles_default_face_id_fkey;

DROP TABLE generation_logs;
DROP TABLE user_daily_quotas;
DROP TABLE system_settings;
DROP TABLE messages;
DROP TABLE mutual_connections;
DROP TABLE notifications;
DROP TABLE match_jobs;
DROP TABLE babies;
DROP TABLE reactions;
DROP TABLE celebrity_matches;
DROP TABLE celebrities;
DROP TABLE matches;
DROP TABLE faces;
DROP TABLE profiles;

DROP FUNCTION is_admin();
DROP FUNCTION handle_new_user();
DROP FUNCTION notify_match_jobs();
DROP FUNCTION auto_create_match_job();
DROP FUNCTION set_updated_at();
DROP FUNCTION valid_setting(text, jsonb);
