-- Whether others may see when the user is online.
ALTER TABLE profiles
    ADD COLUMN show_presence boolean NOT NULL DEFAULT true,
    ADD CONSTRAINT profiles_presence_check CHECK (show_presence OR (NOT online AND last_seen IS NULL));

-- Nothing is stored about users who hide their presence, so that queries, policies and publications have nothing to
-- reveal. Users who show it again are seen now.
CREATE FUNCTION hide_presence() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    IF NOT NEW.show_presence THEN
        NEW.online := false;
        NEW.last_seen := NULL;
    ELSIF NOT OLD.show_presence THEN
        NEW.online := EXISTS (SELECT FROM public.realtime_sessions WHERE profile_id = NEW.id);
        NEW.last_seen := now();
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER profiles_hide_presence BEFORE UPDATE OF online, last_seen, show_presence ON profiles
    FOR EACH ROW WHEN (NOT (OLD.show_presence AND NEW.show_presence)) EXECUTE FUNCTION hide_presence();

-- As before, but does not write the rows of users who hide their presence, because clients on Supabase may watch for
-- writes.
CREATE OR REPLACE FUNCTION set_presence() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
DECLARE
    whose uuid := coalesce(NEW.profile_id, OLD.profile_id);
BEGIN
    PERFORM FROM public.profiles WHERE id = whose FOR NO KEY UPDATE;
    IF EXISTS (SELECT FROM public.realtime_sessions WHERE profile_id = whose) THEN
        UPDATE public.profiles SET online = true WHERE id = whose AND NOT online AND show_presence;
    ELSE
        UPDATE public.profiles SET online = false, last_seen = now() WHERE id = whose AND online;
    END IF;
    RETURN NULL;
END
$$;

-- Also when the user changes the setting.
DROP TRIGGER profiles_tell_presence ON profiles;
CREATE TRIGGER profiles_tell_presence AFTER UPDATE OF online, show_presence ON profiles
    FOR EACH ROW WHEN (OLD.online IS DISTINCT FROM NEW.online) EXECUTE FUNCTION tell_of_presence();

-- The users with whom a profile has a blocked connection.
CREATE FUNCTION blocked_profiles(whose uuid) RETURNS uuid[]
    LANGUAGE sql STABLE STRICT SET search_path = ''
    AS $$
        SELECT ARRAY(
            SELECT CASE WHEN profile_a_id = whose THEN profile_b_id ELSE profile_a_id END
            FROM public.mutual_connections
            WHERE (profile_a_id = whose OR profile_b_id = whose) AND status = 'blocked'
        )
    $$;

REVOKE EXECUTE ON FUNCTION hide_presence(), blocked_profiles(uuid) FROM PUBLIC, authenticated, anon;
GRANT EXECUTE ON FUNCTION blocked_profiles(uuid) TO semblance_service;
GRANT UPDATE (show_presence) ON profiles TO semblance_service;

-- The live feed, best first, is read by key. The old index is replaced at the end, to lock it for a moment only.
CREATE INDEX idx_matches_best ON matches (similarity_score DESC, id DESC);
DROP INDEX idx_matches_similarity_score;
ALTER INDEX idx_matches_best RENAME TO idx_matches_similarity_score;

-- The index by user is not needed any more: babies are listed by match.
DROP INDEX idx_babies_page;
