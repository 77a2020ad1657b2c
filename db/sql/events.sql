-- name: events_since
SELECT id, type, audience, payload, created_at
FROM events
WHERE id > $1
ORDER BY id
LIMIT $2;

-- name: events_for
-- $1 and $2: after and up to which id, $3: types, $4: profile, null for a guest, $5: limit.
SELECT id, type, audience, payload, created_at
FROM events
WHERE id > $1 AND id <= $2
    AND type = ANY($3::text[])
    AND (audience IS NULL OR $4::uuid = ANY(audience))
ORDER BY id
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
