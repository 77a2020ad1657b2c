-- The connection that a notification of messages is about. Deleting it deletes the notification.
ALTER TABLE notifications
    ADD COLUMN connection_id uuid REFERENCES mutual_connections (id) ON DELETE CASCADE;

-- A user has at most one unread notification of the messages of a connection.
CREATE UNIQUE INDEX ux_notifications_unread_message ON notifications (user_id, connection_id)
    WHERE type = 'new_message' AND read_at IS NULL;
CREATE INDEX idx_notifications_connection_id ON notifications (connection_id)
    WHERE connection_id IS NOT NULL;

-- In the order in which their lists are read.
CREATE INDEX idx_notifications_page ON notifications (user_id, created_at DESC, id DESC);
CREATE INDEX idx_messages_page ON messages (connection_id, created_at DESC, id DESC);
CREATE INDEX idx_messages_unread ON messages (connection_id, sender_id) WHERE read_at IS NULL;
