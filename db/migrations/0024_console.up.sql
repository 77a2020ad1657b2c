-- The console: signing in to it, and the record of what operators change. Of codes and sessions only the SHA-256 is
-- stored. Both are 256 random bits, which cannot be guessed, so a slow hash as for passwords would add nothing.

-- A code is exchanged for a session once, and then gone.
CREATE TABLE console_codes (
    hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    expires_at timestamptz NOT NULL DEFAULT now() + interval '2 minutes'
);

CREATE TABLE console_sessions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    -- The admin who signed in with an access token, and the session of that token; null after a code.
    profile_id uuid REFERENCES profiles (id) ON DELETE CASCADE,
    token_session bytea CHECK (octet_length(token_session) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL DEFAULT now() + interval '12 hours',
    revoked_at timestamptz,
    CONSTRAINT console_sessions_who_check CHECK ((profile_id IS NULL) = (token_session IS NULL))
);
CREATE INDEX idx_console_sessions_profile_id ON console_sessions (profile_id);
CREATE INDEX idx_console_sessions_created_at ON console_sessions (created_at DESC, id DESC);

-- Who changed what, by page or by command, without secrets. Nothing is referenced, so that a record outlives what it
-- is about.
CREATE TABLE audit_log (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    -- Not of the transaction, so that the records of one keep their order.
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL CHECK (actor <> ''),
    action text NOT NULL CHECK (action ~ '^[a-z_]+\.[a-z_]+$'),
    target text NOT NULL,
    before jsonb,
    after jsonb
);
CREATE INDEX idx_audit_log_at ON audit_log (at DESC, id DESC);

-- What operators are told.
ALTER TABLE events
    DROP CONSTRAINT events_type_check,
    ADD CONSTRAINT events_type_check CHECK (type IN (
        'matches', 'job', 'message', 'message_read', 'notifications', 'presence', 'session_ended', 'admin'
    ));

CREATE FUNCTION tell_operators(kind text, data jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    IF kind IS NULL OR kind NOT IN ('ingestion', 'jobs', 'gallery', 'settings', 'audit') THEN
        RAISE check_violation USING MESSAGE = format('operators are not told of %L', kind);
    END IF;
    INSERT INTO public.events (type, payload) VALUES ('admin', data || jsonb_build_object('kind', kind));
END
$$;

CREATE FUNCTION tell_of_audit() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    PERFORM public.tell_operators('audit', jsonb_build_object(
        'id', NEW.id, 'actor', NEW.actor, 'action', NEW.action, 'target', NEW.target
    ));
    RETURN NULL;
END
$$;

CREATE TRIGGER audit_log_tell AFTER INSERT ON audit_log
    FOR EACH ROW EXECUTE FUNCTION tell_of_audit();

-- The open connections of a session end with it, on every replica.
CREATE FUNCTION tell_of_ended_console_session() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    IF TG_OP = 'DELETE' OR (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL) THEN
        INSERT INTO public.events (type, payload)
        VALUES ('session_ended', jsonb_build_object('key', encode(OLD.hash, 'hex')));
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER console_sessions_tell AFTER UPDATE OF revoked_at OR DELETE ON console_sessions
    FOR EACH ROW EXECUTE FUNCTION tell_of_ended_console_session();

-- A session of an admin ends when they stop being one.
CREATE FUNCTION end_console_sessions_of_profile() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    UPDATE public.console_sessions SET revoked_at = now() WHERE profile_id = NEW.id AND revoked_at IS NULL;
    -- Connections opened with an access token, which belong to no such session.
    INSERT INTO public.events (type, audience, payload)
    VALUES ('session_ended', ARRAY[NEW.id], jsonb_build_object('channel', 'admin'));
    RETURN NULL;
END
$$;

CREATE TRIGGER profiles_end_console_sessions AFTER UPDATE OF role ON profiles
    FOR EACH ROW WHEN (OLD.role = 'admin' AND NEW.role <> 'admin')
    EXECUTE FUNCTION end_console_sessions_of_profile();

-- And when they sign out of the session that they signed in with. The lock waits for a session that is being made.
CREATE FUNCTION end_console_sessions_of_token() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    PERFORM FROM public.profiles WHERE id = NEW.profile_id FOR NO KEY UPDATE;
    UPDATE public.console_sessions
    SET revoked_at = now()
    WHERE profile_id = NEW.profile_id AND token_session = NEW.key AND revoked_at IS NULL;
    RETURN NULL;
END
$$;

CREATE TRIGGER revoked_sessions_end_console_sessions AFTER INSERT ON revoked_sessions
    FOR EACH ROW EXECUTE FUNCTION end_console_sessions_of_token();

-- Searches among users' faces from the console.
ALTER TABLE face_searches
    ADD COLUMN console_session_id uuid,
    DROP CONSTRAINT face_searches_who_check,
    ADD CONSTRAINT face_searches_who_check CHECK (
        num_nonnulls(profile_id, api_key_id, console_session_id) = 1
    );
GRANT INSERT (console_session_id) ON face_searches TO semblance_service;

-- Nothing of this is for end users. The application adds to the audit log, at the time it is, and changes nothing.
ALTER TABLE console_codes ENABLE ROW LEVEL SECURITY;
ALTER TABLE console_sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON console_codes, console_sessions, audit_log FROM authenticated, anon;
REVOKE EXECUTE ON FUNCTION
    tell_operators(text, jsonb), tell_of_audit(), tell_of_ended_console_session(), end_console_sessions_of_profile(),
    end_console_sessions_of_token()
    FROM PUBLIC, authenticated, anon;
GRANT EXECUTE ON FUNCTION tell_operators(text, jsonb) TO semblance_service;
GRANT SELECT, INSERT (hash), DELETE ON console_codes TO semblance_service;
GRANT SELECT, INSERT (hash, profile_id, token_session), UPDATE (last_used_at, revoked_at), DELETE
    ON console_sessions TO semblance_service;
GRANT SELECT, INSERT (actor, action, target, before, after) ON audit_log TO semblance_service;
CREATE POLICY console_codes_service ON console_codes TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY console_sessions_service ON console_sessions TO semblance_service USING (true) WITH CHECK (true);
CREATE POLICY audit_log_service_read ON audit_log FOR SELECT TO semblance_service USING (true);
CREATE POLICY audit_log_service_insert ON audit_log FOR INSERT TO semblance_service WITH CHECK (true);
