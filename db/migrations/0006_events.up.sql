-- What the realtime API tells its clients. A transaction inserts events at any time; at its commit they get the ids by
-- which they are read. Ids are assigned under a lock that is held until the commit is visible, so they are in the order
-- of commits: a reader that has read up to an id misses none with a smaller one.
CREATE TABLE events (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id bigint CONSTRAINT events_id_key UNIQUE,
    type text NOT NULL
        CHECK (type IN ('matches', 'job', 'message', 'message_read', 'notifications', 'presence')),
    -- The profiles it is for; null for everybody.
    audience uuid[],
    payload jsonb NOT NULL,
    -- Time of the commit.
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE SEQUENCE events_id_seq OWNED BY events.id;

CREATE FUNCTION publish_event() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(8319385479046456435);
    UPDATE public.events
    SET id = nextval('public.events_id_seq'), created_at = clock_timestamp()
    WHERE number = NEW.number;
    PERFORM pg_notify('events', '');
    RETURN NULL;
END
$$;

-- At the end of the transaction, so that the lock lasts no longer than the commit.
CREATE CONSTRAINT TRIGGER events_publish AFTER INSERT ON events
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION publish_event();

-- One event per statement, whether it adds one match or a million. It names up to 500 of them; of more, only the best
-- 20.
CREATE FUNCTION tell_of_matches() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    INSERT INTO public.events (type, payload)
    SELECT 'matches', jsonb_build_object('count', count(*), 'ids', (
        SELECT jsonb_agg(id)
        FROM (
            SELECT id FROM added ORDER BY similarity_score DESC, id
            LIMIT (SELECT CASE WHEN count(*) > 500 THEN 20 ELSE 500 END FROM added)
        ) AS best
    ))
    FROM added
    HAVING count(*) > 0;
    RETURN NULL;
END
$$;

CREATE TRIGGER matches_tell AFTER INSERT ON matches
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_matches();

CREATE FUNCTION tell_of_job() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    INSERT INTO public.events (type, audience, payload)
    VALUES ('job', ARRAY[NEW.user_id], jsonb_build_object(
        'id', NEW.id,
        'face_id', NEW.face_id,
        'status', NEW.status,
        'attempts', NEW.attempts,
        'error', NEW.error_message,
        'created_at', NEW.created_at,
        'started_at', NEW.started_at,
        'completed_at', NEW.completed_at
    ));
    RETURN NULL;
END
$$;

CREATE TRIGGER match_jobs_tell AFTER INSERT ON match_jobs
    FOR EACH ROW EXECUTE FUNCTION tell_of_job();
CREATE TRIGGER match_jobs_tell_status AFTER UPDATE OF status ON match_jobs
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION tell_of_job();

CREATE FUNCTION tell_of_message() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    INSERT INTO public.events (type, audience, payload)
    SELECT 'message', ARRAY[profile_a_id, profile_b_id], to_jsonb(NEW)
    FROM public.mutual_connections
    WHERE id = NEW.connection_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER messages_tell AFTER INSERT ON messages
    FOR EACH ROW EXECUTE FUNCTION tell_of_message();

-- One event per statement and connection; it names the latest 100.
CREATE FUNCTION tell_of_read_messages() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    INSERT INTO public.events (type, audience, payload)
    SELECT 'message_read', ARRAY[profile_a_id, profile_b_id], jsonb_build_object(
        'connection_id', read.connection_id,
        'count', count(*),
        'ids', jsonb_agg(read.id ORDER BY place) FILTER (WHERE place <= 100),
        'read_at', max(read.read_at)
    )
    FROM (
        SELECT
            changed.id, changed.connection_id, changed.read_at,
            row_number() OVER (
                PARTITION BY changed.connection_id ORDER BY changed.created_at DESC, changed.id DESC
            ) AS place
        FROM changed JOIN previous ON previous.id = changed.id
        WHERE previous.read_at IS NULL AND changed.read_at IS NOT NULL
    ) AS read
    JOIN public.mutual_connections AS connection ON connection.id = read.connection_id
    GROUP BY read.connection_id, profile_a_id, profile_b_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER messages_tell_read AFTER UPDATE ON messages
    REFERENCING OLD TABLE AS previous NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_read_messages();

-- One event per statement and user; it carries the latest 20.
CREATE FUNCTION tell_of_notifications() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    INSERT INTO public.events (type, audience, payload)
    SELECT 'notifications', ARRAY[user_id], jsonb_build_object(
        'count', count(*),
        'notifications', jsonb_agg(notification ORDER BY place) FILTER (WHERE place <= 20)
    )
    FROM (
        SELECT
            user_id,
            row_number() OVER (PARTITION BY user_id ORDER BY created_at DESC, id DESC) AS place,
            to_jsonb(changed) - 'user_id' AS notification
        FROM changed
    ) AS changes
    GROUP BY user_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER notifications_tell AFTER INSERT ON notifications
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_notifications();
CREATE TRIGGER notifications_tell_change AFTER UPDATE ON notifications
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_notifications();

-- Presence: a profile is online while it has a realtime session on any replica of the API. A replica that no
-- longer moves its `seen_at` is gone, and the others end its sessions.
ALTER TABLE profiles ADD COLUMN online boolean NOT NULL DEFAULT false;

CREATE TABLE realtime_replicas (
    id uuid PRIMARY KEY,
    seen_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE realtime_sessions (
    id uuid PRIMARY KEY,
    profile_id uuid NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    replica_id uuid NOT NULL REFERENCES realtime_replicas (id) ON DELETE CASCADE
);
CREATE INDEX idx_realtime_sessions_profile_id ON realtime_sessions (profile_id);
CREATE INDEX idx_realtime_sessions_replica_id ON realtime_sessions (replica_id);

-- The first and the last session change it, one at a time per profile: both lock its row before they look.
CREATE FUNCTION set_presence() RETURNS trigger
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

CREATE TRIGGER realtime_sessions_presence AFTER INSERT OR DELETE ON realtime_sessions
    FOR EACH ROW EXECUTE FUNCTION set_presence();

-- For the user and their connections.
CREATE FUNCTION tell_of_presence() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    INSERT INTO public.events (type, audience, payload)
    VALUES (
        'presence',
        ARRAY(
            SELECT NEW.id
            UNION ALL
            SELECT CASE NEW.id WHEN profile_a_id THEN profile_b_id ELSE profile_a_id END
            FROM public.mutual_connections
            WHERE NEW.id IN (profile_a_id, profile_b_id) AND status <> 'blocked'
        ),
        jsonb_build_object('profile_id', NEW.id, 'online', NEW.online, 'last_seen', NEW.last_seen)
    );
    RETURN NULL;
END
$$;

CREATE TRIGGER profiles_tell_presence AFTER UPDATE OF online ON profiles
    FOR EACH ROW WHEN (OLD.online IS DISTINCT FROM NEW.online) EXECUTE FUNCTION tell_of_presence();

-- Only the application reads events, and it decides who is told.
ALTER TABLE events ENABLE ROW LEVEL SECURITY;
ALTER TABLE realtime_replicas ENABLE ROW LEVEL SECURITY;
ALTER TABLE realtime_sessions ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON events, realtime_replicas, realtime_sessions FROM authenticated, anon;
REVOKE ALL ON SEQUENCE events_id_seq, events_number_seq FROM authenticated, anon;
REVOKE EXECUTE ON FUNCTION
    publish_event(), tell_of_matches(), tell_of_job(), tell_of_message(), tell_of_read_messages(),
    tell_of_notifications(), set_presence(), tell_of_presence()
    FROM PUBLIC, authenticated, anon;
GRANT SELECT, DELETE ON events TO semblance_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON realtime_replicas, realtime_sessions TO semblance_service;

CREATE POLICY events_service ON events TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY realtime_replicas_service ON realtime_replicas TO semblance_service
    USING (true) WITH CHECK (true);
CREATE POLICY realtime_sessions_service ON realtime_sessions TO semblance_service
    USING (true) WITH CHECK (true);
