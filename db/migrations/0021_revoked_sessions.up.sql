-- Sessions that were ended here before their tokens: who has signed out stays out, on every replica. A key is a
-- SHA-256 that the application makes of the token, so that nobody can sign in with what is stored.
CREATE TABLE revoked_sessions (
    key bytea PRIMARY KEY CHECK (octet_length(key) = 32),
    -- Without a reference: a profile that is deleted must not let its sessions in again.
    profile_id uuid NOT NULL,
    -- When the token ends by itself.
    expires_at timestamptz NOT NULL
);
CREATE INDEX idx_revoked_sessions_expires_at ON revoked_sessions (expires_at);

-- So that the session's open connections end, on whatever replica. No client is told of it.
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
