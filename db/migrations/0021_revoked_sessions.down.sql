DROP TABLE revoked_sessions;
DROP FUNCTION tell_of_ended_session();
DELETE FROM events WHERE type = 'session_ended';
ALTER TABLE events
    DROP CONSTRAINT events_type_check,
    ADD CONSTRAINT events_type_check CHECK (type IN (
        'matches', 'job', 'message', 'message_read', 'notifications', 'presence'
    ));
