-- The roles of the end user, as on Supabase, and of the application. Roles belong to the whole server, so
-- another database may have made them already.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['semblance_service', 'authenticated', 'anon'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
                EXECUTE format('COMMENT ON ROLE %I IS %L', wanted, 'Made by Semblance.');
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN
                    NULL;
                WHEN insufficient_privilege THEN
                    RAISE insufficient_privilege USING MESSAGE = format(
                        'role %s is missing, and it takes CREATEROLE to run CREATE ROLE %1$s NOLOGIN', wanted
                    );
            END;
        END IF;
    END LOOP;
END
$$;

-- The application ------------------------------------------------------------------------------------
-- Only what its statements need. It reaches rows by policies and not by BYPASSRLS, which a login does not inherit from
-- a role it is a member of.

-- Rights that everybody has on most servers, but not on Supabase or where an administrator has revoked them.
DO $$
DECLARE
    vector_schema name := (
        SELECT nspname
        FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
        WHERE extname = 'vector'
    );
    needed name;
BEGIN
    FOREACH needed IN ARRAY ARRAY['public', vector_schema] LOOP
        IF NOT has_schema_privilege('semblance_service', needed, 'USAGE') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO semblance_service', needed);
        END IF;
    END LOOP;
    FOREACH needed IN ARRAY ARRAY['CONNECT', 'TEMPORARY'] LOOP
        IF NOT has_database_privilege('semblance_service', current_database(), needed) THEN
            EXECUTE format('GRANT %s ON DATABASE %I TO semblance_service', needed, current_database());
        END IF;
    END LOOP;
END
$$;

GRANT SELECT ON
    profiles, faces, matches, celebrities, celebrity_matches, reactions, babies, match_jobs, notifications,
    mutual_connections, messages, system_settings, user_daily_quotas, generation_logs
    TO semblance_service;
-- Not the role: only the owner makes admins.
GRANT
    INSERT (id, profile_type, email, name, gender, school),
    UPDATE (name, gender, school, default_face_id, last_seen)
    ON profiles TO semblance_service;
GRANT INSERT ON celebrities, babies TO semblance_service;
GRANT INSERT, DELETE ON reactions TO semblance_service;
GRANT INSERT, UPDATE ON
    matches, mutual_connections, messages, system_settings, user_daily_quotas, generation_logs
    TO semblance_service;
GRANT INSERT, UPDATE, DELETE ON faces, celebrity_matches, notifications TO semblance_service;
GRANT UPDATE, DELETE ON match_jobs TO semblance_service;

-- An ingestion ends with ANALYZE. Before PostgreSQL 17 only the owner may; for others it is a warning, and
-- autovacuum does it some time later.
DO $$
BEGIN
    IF current_setting('server_version_num')::integer >= 170000 THEN
        EXECUTE 'GRANT MAINTAIN ON celebrities TO semblance_service';
    END IF;
END
$$;

CREATE POLICY profiles_service ON profiles TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY faces_service ON faces TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY matches_service ON matches TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY celebrities_service ON celebrities TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY celebrity_matches_service ON celebrity_matches TO semblance_service
    USING (true) WITH CHECK (true);
CREATE POLICY reactions_service ON reactions TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY babies_service ON babies TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY match_jobs_service ON match_jobs TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY notifications_service ON notifications TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY mutual_connections_service ON mutual_connections TO semblance_service
    USING (true) WITH CHECK (true);
CREATE POLICY messages_service ON messages TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY system_settings_service ON system_settings TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY user_daily_quotas_service ON user_daily_quotas TO semblance_service
    USING (true) WITH CHECK (true);
CREATE POLICY generation_logs_service ON generation_logs TO semblance_service USING (true) WITH CHECK (true);

-- End users ------------------------------------------------------------------------------------------
-- The rights of end users, who talk to the database with their own token and not through the API. They read what the
-- API would tell them, and change single rows. What involves a picture, a limit, a notification of others or a rule
-- over two rows goes through the API.

-- On Supabase every role has every right on a new table or function.
REVOKE ALL ON
    profiles, faces, matches, celebrities, celebrity_matches, reactions, babies, match_jobs, notifications,
    mutual_connections, messages, system_settings, user_daily_quotas, generation_logs, alembic_version
    FROM authenticated, anon;

-- Functions that run as their owner. Triggers' functions are not public either: a user who may make a temporary table
-- could attach one to it.
REVOKE EXECUTE ON FUNCTION auto_create_match_job(), handle_new_user(), is_admin()
    FROM PUBLIC, authenticated, anon;
GRANT EXECUTE ON FUNCTION is_admin() TO authenticated;

-- The default since PostgreSQL 15: only the owner adds names to the schema in which others search them.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

-- What belongs to the caller. The functions run as their owner, so that no policy has to read a table through another
-- policy. They return arrays, so that a policy calls them once per statement and finds rows by index.
CREATE FUNCTION my_faces() RETURNS uuid[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $$
        SELECT ARRAY(SELECT id FROM public.faces WHERE profile_id = auth.uid())
    $$;

CREATE FUNCTION my_matches() RETURNS uuid[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $$
        WITH mine AS (SELECT id FROM public.faces WHERE profile_id = auth.uid())
        SELECT ARRAY(
            SELECT matches.id FROM mine JOIN public.matches ON face_a_id = mine.id
            UNION
            SELECT matches.id FROM mine JOIN public.matches ON face_b_id = mine.id
        )
    $$;

-- $1: only those that the caller may write in.
CREATE FUNCTION my_connections(active boolean) RETURNS uuid[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $$
        SELECT ARRAY(
            SELECT id
            FROM public.mutual_connections
            WHERE (profile_a_id = auth.uid() OR profile_b_id = auth.uid()) AND (NOT $1 OR status = 'active')
        )
    $$;

-- The caller and their connections, except where one of the two has blocked the other.
CREATE FUNCTION my_contacts() RETURNS uuid[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $$
        SELECT auth.uid() || ARRAY(
            SELECT CASE auth.uid() WHEN profile_a_id THEN profile_b_id ELSE profile_a_id END
            FROM public.mutual_connections
            WHERE (profile_a_id = auth.uid() OR profile_b_id = auth.uid()) AND status <> 'blocked'
        )
    $$;

REVOKE EXECUTE ON FUNCTION my_faces(), my_matches(), my_connections(boolean), my_contacts() FROM PUBLIC, anon;
GRANT EXECUTE ON FUNCTION my_faces(), my_matches(), my_connections(boolean), my_contacts() TO authenticated;

-- The gallery and the settings are public, except what is measured of a face and who changed a setting.
GRANT SELECT (id, name, bio, category, gender, image_path, created_at, updated_at) ON celebrities
    TO authenticated, anon;
GRANT SELECT (key, value, description, updated_at) ON system_settings TO authenticated, anon;
ALTER POLICY celebrities_public_read ON celebrities TO authenticated, anon;
ALTER POLICY system_settings_public_read ON system_settings TO authenticated, anon;

-- Admins change settings, in their own name.
GRANT
    INSERT (key, value, description, updated_by), UPDATE (value, description, updated_by), DELETE
    ON system_settings TO authenticated;
ALTER POLICY system_settings_admin_insert ON system_settings TO authenticated
    WITH CHECK ((SELECT is_admin()) AND updated_by = (SELECT auth.uid()));
ALTER POLICY system_settings_admin_update ON system_settings TO authenticated
    WITH CHECK ((SELECT is_admin()) AND updated_by = (SELECT auth.uid()));
ALTER POLICY system_settings_admin_delete ON system_settings TO authenticated;

-- The live feed is public. Its names and pictures come from the API, which signs the pictures' addresses.
GRANT SELECT (id, face_a_id, face_b_id, similarity_score, created_at) ON matches TO authenticated, anon;
CREATE POLICY matches_public_read ON matches FOR SELECT TO authenticated, anon USING (true);

-- The caller and their contacts. No e-mail address: the caller's is in the token.
GRANT
    SELECT (id, name, gender, school, default_face_id, last_seen),
    UPDATE (name, gender, school, default_face_id)
    ON profiles TO authenticated;
CREATE POLICY profiles_contacts_read ON profiles FOR SELECT TO authenticated
    USING (id = ANY ((SELECT my_contacts())::uuid[]));
CREATE POLICY profiles_own_update ON profiles FOR UPDATE TO authenticated
    USING (id = (SELECT auth.uid()))
    WITH CHECK (
        id = (SELECT auth.uid())
        -- The values that the API accepts.
        AND (name IS NULL OR name ~ '^(?=.*\S)[^[:cntrl:]]{1,100}$')
        AND (school IS NULL OR school ~ '^(?=.*\S)[^[:cntrl:]]{1,100}$')
        AND (default_face_id IS NULL OR default_face_id = ANY ((SELECT my_faces())::uuid[]))
    );

-- No INSERT: a row could name another user's picture, for which the API would then sign a URL.
GRANT SELECT (id, profile_id, image_path, created_at) ON faces TO authenticated;
CREATE POLICY faces_own_read ON faces FOR SELECT TO authenticated USING (profile_id = (SELECT auth.uid()));

GRANT SELECT (
    id, face_id, celebrity_id, similarity_score, factor_embedding, factor_geometry, factor_age,
    factor_symmetry, factor_skin_tone, factor_expression, created_at, updated_at
) ON celebrity_matches TO authenticated;
CREATE POLICY celebrity_matches_own_read ON celebrity_matches FOR SELECT TO authenticated
    USING (face_id = ANY ((SELECT my_faces())::uuid[]));

-- Users may mark any match as viewed, but like only their own.
GRANT SELECT, INSERT (match_id, user_profile_id, reaction_type), DELETE ON reactions TO authenticated;
CREATE POLICY reactions_own_read ON reactions FOR SELECT TO authenticated
    USING (user_profile_id = (SELECT auth.uid()));
CREATE POLICY reactions_own_insert ON reactions FOR INSERT TO authenticated
    WITH CHECK (
        user_profile_id = (SELECT auth.uid())
        AND (reaction_type = 'viewed' OR match_id = ANY ((SELECT my_matches())::uuid[]))
    );
CREATE POLICY reactions_own_delete ON reactions FOR DELETE TO authenticated
    USING (user_profile_id = (SELECT auth.uid()));

GRANT SELECT ON babies, match_jobs, mutual_connections, user_daily_quotas TO authenticated;
CREATE POLICY babies_own_matches_read ON babies FOR SELECT TO authenticated
    USING (match_id = ANY ((SELECT my_matches())::uuid[]));
CREATE POLICY match_jobs_own_read ON match_jobs FOR SELECT TO authenticated
    USING (user_id = (SELECT auth.uid()));
CREATE POLICY mutual_connections_members_read ON mutual_connections FOR SELECT TO authenticated
    USING (profile_a_id = (SELECT auth.uid()) OR profile_b_id = (SELECT auth.uid()));
CREATE POLICY user_daily_quotas_own_read ON user_daily_quotas FOR SELECT TO authenticated
    USING (profile_id = (SELECT auth.uid()));

GRANT SELECT, UPDATE (read_at), DELETE ON notifications TO authenticated;
CREATE POLICY notifications_own_read ON notifications FOR SELECT TO authenticated
    USING (user_id = (SELECT auth.uid()));
CREATE POLICY notifications_own_update ON notifications FOR UPDATE TO authenticated
    USING (user_id = (SELECT auth.uid()));
CREATE POLICY notifications_own_delete ON notifications FOR DELETE TO authenticated
    USING (user_id = (SELECT auth.uid()));

-- Text only: the API checks the addresses of pictures.
GRANT SELECT, INSERT (connection_id, sender_id, content, message_type), UPDATE (read_at) ON messages
    TO authenticated;
CREATE POLICY messages_members_read ON messages FOR SELECT TO authenticated
    USING (connection_id = ANY ((SELECT my_connections(active => false))::uuid[]));
CREATE POLICY messages_members_insert ON messages FOR INSERT TO authenticated
    WITH CHECK (
        sender_id = (SELECT auth.uid())
        AND connection_id = ANY ((SELECT my_connections(active => true))::uuid[])
        AND message_type = 'text'
        AND content ~ '\S'
        AND char_length(content) <= 4000
    );
CREATE POLICY messages_receiver_update ON messages FOR UPDATE TO authenticated
    USING (
        sender_id <> (SELECT auth.uid())
        AND connection_id = ANY ((SELECT my_connections(active => false))::uuid[])
    )
    WITH CHECK (read_at IS NOT NULL);
