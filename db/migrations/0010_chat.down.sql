DROP INDEX idx_messages_unread;
DROP INDEX idx_messages_page;
DROP INDEX idx_notifications_page;
DROP INDEX idx_notifications_connection_id;
DROP INDEX ux_notifications_unread_message;
ALTER TABLE notifications DROP COLUMN connection_id;
