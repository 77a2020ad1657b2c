-- name: realtime_replica_seen
INSERT INTO realtime_replicas (id) VALUES ($1)
ON CONFLICT (id) DO UPDATE SET seen_at = now();

-- name: open_realtime_session
-- Does nothing if the profile is gone.
INSERT INTO realtime_sessions (id, profile_id, replica_id)
SELECT $1, id, $3 FROM profiles WHERE id = $2
ON CONFLICT (id) DO NOTHING;

-- name: close_realtime_session
DELETE FROM realtime_sessions WHERE id = $1;

-- name: realtime_sessions_of
SELECT id FROM realtime_sessions WHERE replica_id = $1;

-- name: end_lost_realtime_session
-- One at a time, because each locks a profile; skips sessions that another replica is ending. A replica that was seen in
-- the future has not been since the clock was set back.
DELETE FROM realtime_sessions
WHERE id = (
    SELECT session.id
    FROM realtime_sessions AS session
    JOIN realtime_replicas AS replica ON replica.id = session.replica_id
    WHERE replica.seen_at NOT BETWEEN now() - $1::interval AND now() + $1::interval
    LIMIT 1
    FOR UPDATE OF session SKIP LOCKED
)
RETURNING id;

-- name: forget_lost_realtime_replicas
DELETE FROM realtime_replicas AS replica
WHERE seen_at NOT BETWEEN now() - $1::interval AND now() + $1::interval
    AND NOT EXISTS (SELECT FROM realtime_sessions WHERE replica_id = replica.id);

-- name: forget_realtime_replica
DELETE FROM realtime_replicas AS replica
WHERE id = $1 AND NOT EXISTS (SELECT FROM realtime_sessions WHERE replica_id = replica.id);

-- name: online_connections
-- Profiles connected with $1 that are online.
SELECT profile.id
FROM mutual_connections AS connection
JOIN profiles AS profile
    ON profile.id IN (connection.profile_a_id, connection.profile_b_id) AND profile.id <> $1
WHERE $1 IN (connection.profile_a_id, connection.profile_b_id)
    AND connection.status <> 'blocked'
    AND profile.online
ORDER BY profile.id;
