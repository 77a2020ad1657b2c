DELETE FROM face_searches WHERE console_session_id IS NOT NULL;
ALTER TABLE face_searches
    DROP CONSTRAINT face_searches_who_check,
    ADD CONSTRAINT face_searches_who_check CHECK (num_nonnulls(profile_id, api_key_id) = 1),
    DROP COLUMN console_session_id;

DROP TRIGGER revoked_sessions_end_console_sessions ON revoked_sessions;
DROP TRIGGER profiles_end_console_sessions ON profiles;
DROP TABLE console_codes, console_sessions, audit_log;
DROP FUNCTION tell_of_audit();
DROP FUNCTION tell_operators(text, jsonb);
DROP FUNCTION tell_of_ended_console_session();
DROP FUNCTION end_console_sessions_of_profile();
DROP FUNCTION end_console_sessions_of_token();

DELETE FROM events WHERE type = 'admin';
ALTER TABLE events
    DROP CONSTRAINT events_type_check,
    ADD CONSTRAINT events_type_check CHECK (type IN (
        'matches', 'job', 'message', 'message_read', 'notifications', 'presence', 'session_ended'
    ));
