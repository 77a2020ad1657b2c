-- name: get_system_settings
SELECT key, value, updated_at, updated_by FROM system_settings;

-- name: get_system_settings_before
-- Locked, so that what is recorded as the value before a change is the value that it replaced.
SELECT key, value FROM system_settings WHERE key = ANY ($1::text[]) ORDER BY key FOR UPDATE;

-- name: set_system_settings
-- All or none. $1: values by key, $2: the admin. In order, so that two writers wait
-- for each other instead of deadlocking.
INSERT INTO system_settings (key, value, updated_by)
SELECT key, value, $2 FROM jsonb_each($1) ORDER BY key
ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_by = excluded.updated_by;
