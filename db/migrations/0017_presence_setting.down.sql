CREATE INDEX idx_babies_page ON babies (generated_by_profile_id, created_at DESC, id DESC);
DROP INDEX idx_matches_similarity_score;
CREATE INDEX idx_matches_similarity_score ON matches (similarity_score DESC);
DROP TRIGGER profiles_tell_presence ON profiles;
CREATE TRIGGER profiles_tell_presence AFTER UPDATE OF online ON profiles
    FOR EACH ROW WHEN (OLD.online IS DISTINCT FROM NEW.online) EXECUTE FUNCTION tell_of_presence();
CREATE OR REPLACE FUNCTION set_presence() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
DECLARE
    whose uuid := coalesce(NEW.profile_id, OLD.profile_id);
BEGIN
    PERFORM FROM public.profiles WHERE id = whose FOR NO KEY UPDATE;
    IF EXISTS (SELECT FROM public.realtime_sessions WHERE profile_id = whose) THEN
        UPDATE public.profiles SET online = true WHERE id = whose AND NOT online;
    ELSE
        UPDATE public.profiles SET online = false, last_seen = now() WHERE id = whose AND online;
    END IF;
    RETURN NULL;
END
$$;
DROP TRIGGER profiles_hide_presence ON profiles;
DROP FUNCTION hide_presence();
DROP FUNCTION blocked_profiles(uuid);
ALTER TABLE profiles DROP COLUMN show_presence;
