-- name: stage_objects
CREATE TEMPORARY TABLE staged_objects (
    key text PRIMARY KEY,
    -- The key by which a row would name the picture.
    picture text NOT NULL,
    -- The path of the original in the old app; the same key if it is not a copy.
    original text NOT NULL,
    size bigint NOT NULL,
    last_modified timestamptz NOT NULL
) ON COMMIT DROP;

-- name: analyze_staged_objects
ANALYZE staged_objects;

-- name: count_named_objects
SELECT count(*)
FROM staged_objects
WHERE EXISTS (SELECT FROM faces WHERE image_path = picture)
    OR EXISTS (SELECT FROM celebrities WHERE image_path = picture)
    OR EXISTS (SELECT FROM babies WHERE image_url = picture)
    OR EXISTS (SELECT FROM ingestion_files WHERE key = staged_objects.key)
    OR (original <> picture AND is_named_picture(original));

-- name: rows_without_object
-- Rows of the old app may have an address of another host, which no listing has.
SELECT "table", id, named.key
FROM (
    SELECT 'faces' AS "table", id, image_path AS key FROM faces
    UNION ALL
    SELECT 'celebrities', id, image_path FROM celebrities
    UNION ALL
    SELECT 'babies', id, image_url FROM babies
) AS named
LEFT JOIN staged_objects USING (key)
WHERE staged_objects.key IS NULL AND NOT is_foreign_address(named.key);

-- name: rows_still_there
SELECT 'faces' AS "table", id FROM faces WHERE id = ANY($1)
UNION ALL
SELECT 'celebrities', id FROM celebrities WHERE id = ANY($1)
UNION ALL
SELECT 'babies', id FROM babies WHERE id = ANY($1);

-- name: objects_without_row
SELECT key, size, last_modified
FROM staged_objects
WHERE last_modified < $1
    AND NOT EXISTS (SELECT FROM faces WHERE image_path = picture)
    AND NOT EXISTS (SELECT FROM celebrities WHERE image_path = picture)
    AND NOT EXISTS (SELECT FROM babies WHERE image_url = picture)
    AND NOT EXISTS (SELECT FROM ingestion_files WHERE ingestion_files.key = staged_objects.key)
    AND (original = picture OR NOT is_named_picture(original));
