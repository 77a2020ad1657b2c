DROP POLICY messages_receiver_update ON messages;
DROP POLICY messages_members_insert ON messages;
DROP POLICY messages_members_read ON messages;
DROP POLICY notifications_own_delete ON notifications;
DROP POLICY notifications_own_update ON notifications;
DROP POLICY notifications_own_read ON notifications;
DROP POLICY user_daily_quotas_own_read ON user_daily_quotas;
DROP POLICY mutual_connections_members_read ON mutual_connections;
DROP POLICY match_jobs_own_read ON match_jobs;
DROP POLICY babies_own_matches_read ON babies;
DROP POLICY reactions_own_delete ON reactions;
DROP POLICY reactions_own_insert ON reactions;
DROP POLICY reactions_own_read ON reactions;
DROP POLICY celebrity_matches_own_read ON celebrity_matches;
DROP POLICY faces_own_read ON faces;
DROP POLICY profiles_own_update ON profiles;
DROP POLICY profiles_contacts_read ON profiles;
DROP POLICY matches_public_read ON matches;

ALTER POLICY system_settings_admin_delete ON system_settings TO PUBLIC;
ALTER POLICY system_settings_admin_update ON system_settings TO PUBLIC WITH CHECK ((SELECT is_admin()));
ALTER POLICY system_settings_admin_insert ON system_settings TO PUBLIC WITH CHECK ((SELECT is_admin()));
ALTER POLICY system_settings_public_read ON system_settings TO PUBLIC;
ALTER POLICY celebrities_public_read ON celebrities TO PUBLIC;

DROP POLICY generation_logs_service ON generation_logs;
DROP POLICY user_daily_quotas_service ON user_daily_quotas;
DROP POLICY system_settings_service ON system_settings;
DROP POLICY messages_service ON messages;
DROP POLICY mutual_connections_service ON mutual_connections;
DROP POLICY notifications_service ON notifications;
DROP POLICY match_jobs_service ON match_jobs;
DROP POLICY babies_service ON babies;
DROP POLICY reactions_service ON reactions;
DROP POLICY celebrity_matches_service ON celebrity_matches;
DROP POLICY celebrities_service ON celebrities;
DROP POLICY matches_service ON matches;
DROP POLICY faces_service ON faces;
DROP POLICY profiles_service ON profiles;

DROP FUNCTION my_contacts();
DROP FUNCTION my_connections(boolean);
DROP FUNCTION my_matches();
DROP FUNCTION my_faces();

REVOKE EXECUTE ON FUNCTION is_admin() FROM authenticated;
GRANT EXECUTE ON FUNCTION auto_create_match_job(), handle_new_user(), is_admin() TO PUBLIC;

-- The privileges that Supabase grants end users by default are not restored: nothing needs them at this revision.
REVOKE ALL ON
    profiles, faces, matches, celebrities, celebrity_matches, reactions, babies, match_jobs, notifications,
    mutual_connections, messages, system_settings, user_daily_quotas, generation_logs
    FROM semblance_service, authenticated, anon;

-- Roles go with the last database that uses them, unless somebody else made them or logs in through them.
DO $$
DECLARE
    made text;
    vector_schema name := (
        SELECT nspname
        FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
        WHERE extname = 'vector'
    );
BEGIN
    EXECUTE format('REVOKE ALL ON SCHEMA public, %I FROM semblance_service', vector_schema);
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM semblance_service', current_database());
    FOR made IN
        SELECT rolname
        FROM pg_roles
        WHERE rolname IN ('semblance_service', 'authenticated', 'anon')
            AND shobj_description(oid, 'pg_authid') = 'Made by Semblance.'
            AND NOT EXISTS (
                SELECT FROM pg_auth_members WHERE roleid = pg_roles.oid AND member <> current_user::regrole
            )
    LOOP
        BEGIN
            EXECUTE format('DROP ROLE %I', made);
        EXCEPTION WHEN OTHERS THEN
            -- Used by another database, or just dropped by one that is migrated at the same time.
            RAISE NOTICE 'The role % stays: %', made, SQLERRM;
        END;
    END LOOP;
END
$$;
