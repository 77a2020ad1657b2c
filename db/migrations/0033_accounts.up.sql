-- Operators look after the people of the app: they block them, change their roles and delete them.
ALTER TABLE profiles ADD COLUMN blocked_at timestamptz;
CREATE INDEX idx_profiles_blocked_at ON profiles (blocked_at) WHERE blocked_at IS NOT NULL;

-- Whether a match has a face of somebody who is blocked.
ALTER TABLE matches ADD COLUMN hidden boolean NOT NULL DEFAULT false;

-- The application sees neither blocked profiles nor their matches. No statement has to think of it, now or later: a
-- blocked user is found by no search, matched with nobody, and shown in no list.
ALTER POLICY profiles_service ON profiles USING (blocked_at IS NULL) WITH CHECK (blocked_at IS NULL);
ALTER POLICY matches_service ON matches USING (NOT hidden) WITH CHECK (NOT hidden);

CREATE FUNCTION is_blocked(whose uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $$
        SELECT EXISTS (SELECT FROM public.profiles WHERE id = whose AND blocked_at IS NOT NULL)
    $$;

-- End users who talk to the database themselves see no blocked profile either, and nothing once they are blocked.
ALTER POLICY matches_public_read ON matches USING (NOT hidden);
ALTER POLICY profiles_contacts_read ON profiles
    USING (id = ANY ((SELECT my_contacts())::uuid[]) AND blocked_at IS NULL);

CREATE OR REPLACE FUNCTION is_admin() RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $$
        SELECT EXISTS (
            SELECT FROM public.profiles WHERE id = auth.uid() AND role = 'admin' AND blocked_at IS NULL
        )
    $$;

CREATE FUNCTION am_blocked() RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $$
        SELECT public.is_blocked(auth.uid())
    $$;

CREATE POLICY profiles_not_blocked ON profiles AS RESTRICTIVE TO authenticated USING (NOT (SELECT am_blocked()));
CREATE POLICY faces_not_blocked ON faces AS RESTRICTIVE TO authenticated USING (NOT (SELECT am_blocked()));
CREATE POLICY celebrity_matches_not_blocked ON celebrity_matches AS RESTRICTIVE TO authenticated
    USING (NOT (SELECT am_blocked()));
CREATE POLICY reactions_not_blocked ON reactions AS RESTRICTIVE TO authenticated USING (NOT (SELECT am_blocked()));
CREATE POLICY babies_not_blocked ON babies AS RESTRICTIVE TO authenticated USING (NOT (SELECT am_blocked()));
CREATE POLICY match_jobs_not_blocked ON match_jobs AS RESTRICTIVE TO authenticated USING (NOT (SELECT am_blocked()));
CREATE POLICY mutual_connections_not_blocked ON mutual_connections AS RESTRICTIVE TO authenticated
    USING (NOT (SELECT am_blocked()));
CREATE POLICY messages_not_blocked ON messages AS RESTRICTIVE TO authenticated USING (NOT (SELECT am_blocked()));
CREATE POLICY notifications_not_blocked ON notifications AS RESTRICTIVE TO authenticated
    USING (NOT (SELECT am_blocked()));
CREATE POLICY user_daily_quotas_not_blocked ON user_daily_quotas AS RESTRICTIVE TO authenticated
    USING (NOT (SELECT am_blocked()));

-- The number of matches is of those that are seen.
CREATE FUNCTION change_match_count(change bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    IF change <> 0 THEN
        UPDATE public.match_counts
        SET count = count + change
        WHERE slot = (SELECT slot FROM public.match_counts ORDER BY slot LIMIT 1 FOR UPDATE SKIP LOCKED);
        IF NOT FOUND THEN
            INSERT INTO public.match_counts (count) VALUES (change);
        END IF;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION count_matches() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM public.match_counts;
    ELSIF TG_OP = 'INSERT' THEN
        PERFORM public.change_match_count(count(*)) FROM added;
    ELSE
        PERFORM public.change_match_count(-count(*)) FROM removed WHERE NOT hidden;
    END IF;
    RETURN NULL;
END
$$;

-- Matches that are stored while somebody is being blocked: the references to their faces have waited for that.
CREATE FUNCTION hide_matches() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
DECLARE
    changed bigint;
BEGIN
    IF EXISTS (SELECT FROM public.profiles WHERE blocked_at IS NOT NULL) THEN
        UPDATE public.matches
        SET hidden = true
        WHERE id IN (
            SELECT added.id
            FROM added
            JOIN public.faces ON faces.id IN (face_a_id, face_b_id)
            JOIN public.profiles ON profiles.id = profile_id
            WHERE blocked_at IS NOT NULL
        );
        GET DIAGNOSTICS changed = ROW_COUNT;
        PERFORM public.change_match_count(-changed);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER matches_hide AFTER INSERT ON matches
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION hide_matches();

-- What operators do with accounts, one at a time: the lock holds until the end of the transaction. Each function
-- returns what came of it: missing, last_admin, unchanged or changed.
CREATE FUNCTION lock_account(whose uuid, may_act boolean) RETURNS text
    LANGUAGE plpgsql SET search_path = ''
    AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(6117802645530842177);
    PERFORM FROM public.profiles WHERE id = whose AND profile_type = 'user' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'missing';
    ELSIF NOT may_act
        AND EXISTS (SELECT FROM public.profiles WHERE id = whose AND role = 'admin' AND blocked_at IS NULL)
        AND NOT EXISTS (SELECT FROM public.profiles WHERE id <> whose AND role = 'admin' AND blocked_at IS NULL)
    THEN
        RETURN 'last_admin';
    END IF;
    RETURN 'changed';
END
$$;

CREATE FUNCTION change_role(whose uuid, given text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
DECLARE
    outcome text := public.lock_account(whose, given = 'admin');
BEGIN
    IF outcome = 'changed' THEN
        UPDATE public.profiles SET role = given WHERE id = whose AND role <> given;
        IF NOT FOUND THEN
            RETURN 'unchanged';
        END IF;
    END IF;
    RETURN outcome;
END
$$;

CREATE FUNCTION change_block(whose uuid, blocked boolean) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
DECLARE
    outcome text := public.lock_account(whose, NOT blocked);
    own uuid[];
    changed bigint;
BEGIN
    IF outcome <> 'changed' THEN
        RETURN outcome;
    END IF;
    UPDATE public.profiles
    SET blocked_at = CASE WHEN blocked THEN now() END
    WHERE id = whose AND (blocked_at IS NOT NULL) <> blocked;
    IF NOT FOUND THEN
        RETURN 'unchanged';
    END IF;
    -- Waits for those who are storing matches of these faces.
    PERFORM FROM public.faces WHERE profile_id = whose ORDER BY id FOR UPDATE;
    own := ARRAY(SELECT id FROM public.faces WHERE profile_id = whose);
    UPDATE public.matches
    SET hidden = blocked
    WHERE (face_a_id = ANY (own) OR face_b_id = ANY (own))
        AND hidden <> blocked
        AND (blocked OR NOT EXISTS (
            SELECT
            FROM public.faces JOIN public.profiles ON profiles.id = profile_id
            WHERE faces.id IN (face_a_id, face_b_id) AND blocked_at IS NOT NULL
        ));
    GET DIAGNOSTICS changed = ROW_COUNT;
    PERFORM public.change_match_count(CASE WHEN blocked THEN -changed ELSE changed END);
    IF blocked THEN
        UPDATE public.console_sessions SET revoked_at = now() WHERE profile_id = whose AND revoked_at IS NULL;
        INSERT INTO public.events (type, audience, payload)
        VALUES ('session_ended', ARRAY[whose], '{"everywhere": true}');
    END IF;
    RETURN 'changed';
END
$$;

-- Matches that somebody missed while they were blocked.
CREATE TRIGGER profiles_rematch_unblocked AFTER UPDATE OF blocked_at ON profiles
    FOR EACH ROW WHEN (OLD.blocked_at IS NOT NULL AND NEW.blocked_at IS NULL)
    EXECUTE FUNCTION rematch_profile();

-- With all that belongs to the profile; its pictures are removed by way of object_deletions. Notifications of others
-- about it are found by hand, because no foreign key does.
CREATE FUNCTION delete_account(whose uuid) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
DECLARE
    outcome text := public.lock_account(whose, false);
    own uuid[];
    gone_matches uuid[];
    gone_connections uuid[];
BEGIN
    IF outcome <> 'changed' THEN
        RETURN outcome;
    END IF;
    PERFORM FROM public.faces WHERE profile_id = whose ORDER BY id FOR UPDATE;
    own := ARRAY(SELECT id FROM public.faces WHERE profile_id = whose);
    gone_matches := ARRAY(
        SELECT id FROM public.matches WHERE face_a_id = ANY (own) OR face_b_id = ANY (own) ORDER BY id FOR UPDATE
    );
    gone_connections := ARRAY(
        SELECT id
        FROM public.mutual_connections
        WHERE whose IN (profile_a_id, profile_b_id) OR match_id = ANY (gone_matches)
    );
    DELETE FROM public.notifications
    WHERE user_id IN (
            SELECT profile_id
            FROM public.matches JOIN public.faces ON faces.id IN (face_a_id, face_b_id)
            WHERE matches.id = ANY (gone_matches)
            UNION
            SELECT unnest(ARRAY[profile_a_id, profile_b_id])
            FROM public.mutual_connections
            WHERE id = ANY (gone_connections)
        )
        AND (
            connection_id = ANY (gone_connections)
            OR related_id IN (
                SELECT unnest(gone_matches || gone_connections)
                UNION ALL
                SELECT id FROM public.babies WHERE match_id = ANY (gone_matches)
                UNION ALL
                SELECT id FROM public.messages WHERE connection_id = ANY (gone_connections)
            )
        );
    INSERT INTO public.events (type, audience, payload)
    VALUES ('session_ended', ARRAY[whose], '{"everywhere": true}');
    DELETE FROM public.profiles WHERE id = whose;
    RETURN 'changed';
END
$$;

-- People of the app as operators see them, also those who are blocked: the one whose id it is, or a page of all, the
-- latest first. beginning: of the name, the address or the school. The counts are only made for the rows of the page.
CREATE FUNCTION find_accounts(
    whose uuid, beginning text, wanted_role text, wanted_blocked boolean, before_time timestamptz, before_id uuid,
    most integer
) RETURNS TABLE (
    id uuid, name text, email text, gender text, school text, role text, image_path text, last_seen timestamptz,
    blocked_at timestamptz, created_at timestamptz, photos bigint, matches bigint
)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET plan_cache_mode = force_custom_plan
    AS $$
#variable_conflict use_column
DECLARE
    folded text := public.fold_school(beginning);
    -- Nothing that begins so comes after it.
    beyond text := folded || chr(1114111);
BEGIN
    RETURN QUERY
        WITH page AS MATERIALIZED (
            SELECT *
            FROM public.profiles
            WHERE profile_type = 'user'
                AND (whose IS NULL OR id = whose)
                AND (
                    folded = ''
                    OR (public.fold_school(name) ~>=~ folded AND public.fold_school(name) ~<~ beyond)
                    OR (email ~>=~ folded AND email ~<~ beyond)
                    OR (public.fold_school(school) ~>=~ folded AND public.fold_school(school) ~<~ beyond)
                )
                AND (wanted_role IS NULL OR role = wanted_role)
                AND (wanted_blocked IS NULL OR (blocked_at IS NOT NULL) = wanted_blocked)
                AND (before_time IS NULL OR (created_at, id) < (before_time, before_id))
            ORDER BY created_at DESC, id DESC
            LIMIT most
        )
        SELECT
            page.id, page.name, page.email, page.gender, page.school, page.role,
            (SELECT image_path FROM public.faces WHERE faces.id = default_face_id),
            page.last_seen, page.blocked_at, page.created_at,
            (SELECT count(*) FROM public.faces WHERE profile_id = page.id),
            (SELECT count(*) FROM public.faces JOIN public.matches ON face_a_id = faces.id WHERE profile_id = page.id)
            + (SELECT count(*) FROM public.faces JOIN public.matches ON face_b_id = faces.id WHERE profile_id = page.id)
        FROM page
        ORDER BY page.created_at DESC, page.id DESC;
END
$$;

CREATE INDEX idx_profiles_page ON profiles (created_at DESC, id DESC) WHERE profile_type = 'user';
-- Found by how the name, the address or the school begins.
CREATE INDEX idx_profiles_folded_name ON profiles (fold_school(name) text_pattern_ops);
CREATE INDEX idx_profiles_email_pattern ON profiles (email text_pattern_ops);
DROP INDEX idx_profiles_school_folded;
CREATE INDEX idx_profiles_school_folded ON profiles (fold_school(school) text_pattern_ops);

-- Operators are also told of people of the app, and of jobs that wait in a paused queue, of which no worker tells.
CREATE OR REPLACE FUNCTION tell_operators(kind text, data jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    IF kind IS NULL OR kind NOT IN ('ingestion', 'jobs', 'gallery', 'settings', 'users', 'audit') THEN
        RAISE check_violation USING MESSAGE = format('operators are not told of %L', kind);
    END IF;
    INSERT INTO public.events (type, payload) VALUES ('admin', data || jsonb_build_object('kind', kind));
END
$$;

CREATE FUNCTION tell_of_waiting_jobs() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    IF EXISTS (SELECT FROM public.system_settings WHERE key = 'match_jobs_paused' AND value = 'true') THEN
        PERFORM public.tell_operators('jobs', '{}');
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER match_jobs_tell_waiting AFTER INSERT ON match_jobs
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_waiting_jobs();

REVOKE EXECUTE ON FUNCTION
    is_blocked(uuid), am_blocked(), change_match_count(bigint), hide_matches(), lock_account(uuid, boolean),
    change_role(uuid, text), change_block(uuid, boolean), delete_account(uuid), tell_of_waiting_jobs(),
    find_accounts(uuid, text, text, boolean, timestamptz, uuid, integer)
    FROM PUBLIC, authenticated, anon;
GRANT EXECUTE ON FUNCTION am_blocked() TO authenticated;
GRANT EXECUTE ON FUNCTION
    is_blocked(uuid), change_role(uuid, text), change_block(uuid, boolean), delete_account(uuid),
    find_accounts(uuid, text, text, boolean, timestamptz, uuid, integer)
    TO semblance_service;
