-- name: send_message
-- Stores a message and notifies its receiver, in one statement. $1: connection, $2: sender, $3: content,
-- $4: type, $5: the notification's title, $6: its text, $7: the message that it answers, or null.
--
-- The connection is updated first, which locks it: so a connection that was blocked meanwhile is seen as blocked,
-- and messages of one connection get their times in the order in which they become visible.
WITH opened AS (
    UPDATE mutual_connections
    SET updated_at = now()
    WHERE id = $1 AND status = 'active' AND $2 IN (profile_a_id, profile_b_id)
    RETURNING id, CASE WHEN profile_a_id = $2 THEN profile_b_id ELSE profile_a_id END AS receiver_id
),
sent AS (
    INSERT INTO messages (connection_id, sender_id, content, message_type, created_at, in_reply_to)
    SELECT id, $2, $3, $4, clock_timestamp(), $7
    FROM opened
    RETURNING id, connection_id, sender_id, content, message_type, read_at, created_at, ai_status, in_reply_to
),
told AS (
    INSERT INTO notifications (user_id, type, title, message, related_id, related_type, connection_id, created_at)
    SELECT receiver_id, 'new_message', $5, $6, sent.id, 'message', sent.connection_id, sent.created_at
    FROM sent, opened
    ON CONFLICT (user_id, connection_id) WHERE type = 'new_message' AND read_at IS NULL DO UPDATE SET
        title = excluded.title,
        message = excluded.message,
        related_id = excluded.related_id,
        created_at = excluded.created_at
)
SELECT * FROM sent;

-- name: owns_picture
-- $1: storage key, $2: the user. Rows of the old app may have an address of another host in place of a key.
SELECT NOT is_foreign_address($1) AND (
    EXISTS (SELECT FROM faces WHERE profile_id = $2 AND image_path = $1)
    OR EXISTS (SELECT FROM babies WHERE generated_by_profile_id = $2 AND image_url = $1)
);

-- name: is_chat_member
-- $1: connection, $2: the user.
SELECT $2 IN (profile_a_id, profile_b_id) AS is_member
FROM mutual_connections
WHERE id = $1;

-- name: list_messages
-- Newest first. $1: connection, $2 and $3: time and id of the last message seen, $4: limit.
SELECT id, connection_id, sender_id, content, message_type, read_at, created_at, ai_status, in_reply_to
FROM messages
WHERE connection_id = $1
    AND (created_at, id) < (
        coalesce($2, 'infinity'::timestamptz),
        coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
    )
ORDER BY created_at DESC, id DESC
LIMIT $4;

-- name: get_message
-- $1: message, $2: the user.
SELECT message.connection_id, message.sender_id, $2 IN (profile_a_id, profile_b_id) AS is_member
FROM messages AS message
JOIN mutual_connections AS connection ON connection.id = message.connection_id
WHERE message.id = $1;

-- name: lock_connection_for_chat
-- Prevents new messages in the connection until the end of the transaction.
SELECT FROM mutual_connections WHERE id = $1 FOR NO KEY UPDATE;

-- name: read_message
UPDATE messages
SET read_at = coalesce(read_at, now())
WHERE id = $1
RETURNING id, connection_id, sender_id, content, message_type, read_at, created_at, ai_status, in_reply_to;

-- name: read_all_messages
-- $1: connection, $2: the receiver.
WITH marked AS (
    UPDATE messages
    SET read_at = now()
    WHERE connection_id = $1 AND sender_id <> $2 AND read_at IS NULL
    RETURNING 1
)
SELECT count(*) FROM marked;

-- name: read_message_notification
-- Only if no message is left unread. $1: connection, $2: the receiver.
UPDATE notifications
SET read_at = now()
WHERE connection_id = $1 AND user_id = $2 AND type = 'new_message' AND read_at IS NULL
    AND NOT EXISTS (
        SELECT FROM messages WHERE connection_id = $1 AND sender_id <> $2 AND read_at IS NULL
    );
