-- name: list_notifications
-- One page, newest first, with the counts, also for an empty page (then with nulls). $1: user,
-- $2: only unread ones, $3 and $4: time and id of the last one seen, $5: limit, $6: how many to pass over.
WITH counts AS (
    SELECT
        count(*) FILTER (WHERE NOT $2 OR read_at IS NULL) AS total,
        count(*) FILTER (WHERE read_at IS NULL) AS unread_count
    FROM notifications
    WHERE user_id = $1
),
page AS (
    SELECT id, type, title, message, related_id, related_type, connection_id, read_at, created_at
    FROM notifications
    WHERE user_id = $1
        AND (NOT $2 OR read_at IS NULL)
        AND (created_at, id) < (
            coalesce($3, 'infinity'::timestamptz),
            coalesce($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
        )
    ORDER BY created_at DESC, id DESC
    LIMIT $5 OFFSET $6
)
SELECT counts.total, counts.unread_count, page.*
FROM counts
LEFT JOIN page ON true
ORDER BY page.created_at DESC, page.id DESC;

-- name: read_notification
-- $1: notification, $2: its user.
UPDATE notifications
SET read_at = coalesce(read_at, now())
WHERE id = $1 AND user_id = $2
RETURNING id, type, title, message, related_id, related_type, connection_id, read_at, created_at;

-- name: read_all_notifications
-- Locked in order, as in clear_notifications, so that two calls wait for each other instead of deadlocking.
WITH unread AS (
    SELECT id FROM notifications WHERE user_id = $1 AND read_at IS NULL ORDER BY id FOR UPDATE
),
marked AS (
    UPDATE notifications SET read_at = now() WHERE id IN (SELECT id FROM unread) RETURNING 1
)
SELECT count(*) FROM marked;

-- name: delete_notification
DELETE FROM notifications WHERE id = $1 AND user_id = $2 RETURNING true;

-- name: clear_notifications
WITH mine AS (
    SELECT id FROM notifications WHERE user_id = $1 ORDER BY id FOR UPDATE
)
DELETE FROM notifications WHERE id IN (SELECT id FROM mine);

-- name: prune_notifications
-- Older than $1, at most $2 at a time.
WITH old AS (
    SELECT id
    FROM notifications
    WHERE created_at < now() - $1::interval
    ORDER BY created_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
),
gone AS (
    DELETE FROM notifications USING old WHERE notifications.id = old.id RETURNING 1
)
SELECT count(*) FROM gone;
