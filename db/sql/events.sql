-- name: events_since
SELECT id, type, audience, payload, created_at
FROM events
WHERE id > $1
ORDER BY id
LIMIT $2;

-- name: events_for
-- What a client missed, without messages, drafts and notifications that are gone since: those that a deleted user wrote, for
-- one. $1 and $2: after and up to which id, $3: types, $4: profile, null for a guest, $5: limit.
SELECT
    id,
    type,
    audience,
    CASE WHEN type = 'notifications' THEN payload || jsonb_build_object('notifications', left_over) ELSE payload END AS payload,
    created_at
FROM events
CROSS JOIN LATERAL (
    SELECT CASE WHEN type = 'notifications' THEN (
        SELECT jsonb_agg(told ORDER BY place)
        FROM jsonb_array_elements(payload -> 'notifications') WITH ORDINALITY AS list (told, place)
        WHERE EXISTS (SELECT FROM notifications WHERE notifications.id = (told ->> 'id')::uuid)
    ) END AS left_over
) AS still_there
WHERE events.id > $1 AND events.id <= $2
    AND type = ANY($3::text[])
    AND (audience IS NULL OR $4::uuid = ANY(audience))
    AND CASE
        WHEN type = 'notifications' THEN left_over IS NOT NULL
        WHEN type IN ('message', 'draft') THEN EXISTS (
            SELECT
            FROM messages
            JOIN mutual_connections AS chat ON chat.id = messages.connection_id
            WHERE messages.id = coalesce(payload ->> 'message_id', payload ->> 'id')::uuid
        )
        ELSE true
    END
ORDER BY events.id
LIMIT $5;

-- name: kept_events
SELECT coalesce(min(id), 0) AS oldest, coalesce(max(id), 0) AS newest FROM events;

-- name: prune_events
-- Of the $2 oldest events those older than $1, as ids and times ascend together, unless the clock is set back: events from
-- before that are in the future, and would have all later ones stay. The newest event always stays, because it says how far
-- the ids have come.
WITH old AS (
    SELECT id, created_at
    FROM events
    WHERE id < (SELECT max(id) FROM events)
    ORDER BY id
    LIMIT $2
),
gone AS (
    DELETE FROM events
    USING old
    WHERE events.id = old.id AND old.created_at NOT BETWEEN now() - $1::interval AND now() + $1::interval
    RETURNING 1
)
SELECT count(*) FROM gone;
