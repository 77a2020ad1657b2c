-- name: database_facts
SELECT
    pg_database_size(current_database()) AS bytes,
    current_setting('server_version') AS postgres,
    (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS pgvector,
    schema_revision() AS revision;

-- name: largest_tables
-- The $1 largest tables; rows as the server estimates them. It has no estimate of a table of a few rows, which it has
-- not analyzed yet, but it has counted what was written.
SELECT
    relname::text AS name,
    CASE WHEN reltuples < 0 THEN pg_stat_get_live_tuples(oid) ELSE reltuples END::bigint AS rows,
    pg_table_size(oid) AS bytes,
    pg_indexes_size(oid) AS index_bytes
FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
ORDER BY pg_table_size(oid) + pg_indexes_size(oid) DESC, relname
LIMIT $1;

-- name: largest_indexes
-- The $1 largest indexes, with how often the server has used each since its statistics began.
SELECT
    indexrelname::text AS name,
    relname::text AS table_name,
    pg_relation_size(indexrelid) AS bytes,
    idx_scan AS scans
FROM pg_stat_user_indexes
WHERE schemaname = 'public'
ORDER BY pg_relation_size(indexrelid) DESC, indexrelname
LIMIT $1;
