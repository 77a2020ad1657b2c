-- name: count_raw_pictures
-- By table. $1: how the keys of clean pictures end, as a pattern. Addresses of other hosts do not count.
SELECT 'faces' AS "table", count(*) AS number
FROM faces
WHERE image_path NOT LIKE $1 AND NOT is_foreign_address(image_path)
UNION ALL
SELECT 'celebrities', count(*)
FROM celebrities
WHERE image_path NOT LIKE $1 AND NOT is_foreign_address(image_path)
UNION ALL
SELECT 'babies', count(*)
FROM babies
WHERE image_url NOT LIKE $1 AND NOT is_foreign_address(image_url);

-- name: raw_faces
-- In the order of their ids. $1: as above, $2: the last id seen, $3: limit; the same for the two others.
SELECT id, image_path AS key, landmarks_68
FROM faces
WHERE id > $2 AND image_path NOT LIKE $1 AND NOT is_foreign_address(image_path)
ORDER BY id
LIMIT $3;

-- name: raw_celebrities
SELECT id, image_path AS key, landmarks_68
FROM celebrities
WHERE id > $2 AND image_path NOT LIKE $1 AND NOT is_foreign_address(image_path)
ORDER BY id
LIMIT $3;

-- name: raw_babies
SELECT id, image_url AS key, NULL::jsonb AS landmarks_68
FROM babies
WHERE id > $2 AND image_url NOT LIKE $1 AND NOT is_foreign_address(image_url)
ORDER BY id
LIMIT $3;

-- name: replace_face_picture
-- $1: id, $2 and $3: key and landmarks as they were read, $4 and $5: as they are now. Does nothing if
-- they have changed meanwhile. Chats that show the old picture show the new one.
WITH replaced AS (
    UPDATE faces
    SET image_path = $4, landmarks_68 = $5
    WHERE id = $1 AND image_path = $2 AND landmarks_68 IS NOT DISTINCT FROM $3
    RETURNING true AS done
),
shown AS (
    UPDATE messages
    SET content = $4
    WHERE message_type = 'image' AND content = $2 AND EXISTS (SELECT FROM replaced)
)
SELECT done FROM replaced;

-- name: replace_celebrity_picture
-- As for faces, without chats.
UPDATE celebrities
SET image_path = $4, landmarks_68 = $5
WHERE id = $1 AND image_path = $2 AND landmarks_68 IS NOT DISTINCT FROM $3
RETURNING true;

-- name: replace_baby_picture
-- As for faces; $3 and $5 are null.
WITH replaced AS (
    UPDATE babies
    SET image_url = $4
    WHERE id = $1 AND image_url = $2 AND $3::jsonb IS NULL AND $5::jsonb IS NULL
    RETURNING true AS done
),
shown AS (
    UPDATE messages
    SET content = $4
    WHERE message_type = 'image' AND content = $2 AND EXISTS (SELECT FROM replaced)
)
SELECT done FROM replaced;

-- name: keep_replaced_picture
-- Removes the record that the replacement has just written.
DELETE FROM object_deletions
WHERE key = $1;
