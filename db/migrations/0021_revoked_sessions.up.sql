-- Sessions that were revoked before their tokens expire, for all replicas. A key is a SHA-256 of the token, so that
-- what is stored cannot be used to sign in.
CREATE TABLE revoked_sessions (
    key bytea PRIMARY KEY CHECK (octet_length(key) = 32),
    -- Not a reference: the end of a session must outlast its profile.
    profile_id uuid NOT NULL,
    -- When the token expires.
    expires_at timestamptz NOT NULL
);
CREATE INDEX idx_revoked_sessions_expires_at ON revoked_sessions (expires_at);

-- Ends the session's open connections on every replica. No client receives this event.
ALTER TABLE events
    DROP CONSTRAINT events_type_check,
    ADD CONSTRAINT events_type_check CHECK (type IN (
        'matches', 'job', 'message', 'message_read', 'notifications', 'presence', 'session_ended'
    ));

CREATE FUNCTION tell_of_ended_session() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    INSERT INTO public.events (type, audience, payload)
    VALUES ('session_ended', ARRAY[NEW.profile_id], jsonb_build_object('key', encode(NEW.key, 'hex')));
    RETURN NULL;
END
$$;

CREATE TRIGGER revoked_sessions_tell AFTER INSERT ON revoked_sessions
    FOR EACH ROW EXECUTE FUNCTION tell_of_ended_session();

ALTER TABLE revoked_sessions ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON revoked_sessions FROM authenticated, anon;
REVOKE EXECUTE ON FUNCTION tell_of_ended_session() FROM PUBLIC, authenticated, anon;
GRANT SELECT, INSERT, DELETE ON revoked_sessions TO semblance_service;
CREATE POLICY revoked_sessions_service ON revoked_sessions TO semblance_service USING (true) WITH CHECK (true);
