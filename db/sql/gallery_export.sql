-- name: page_of_gallery
-- The next $2 pictures after the celebrity $1, in the order of their ids, as an ingestion takes them.
SELECT id, name, bio, category, gender, coalesce(person_id, id) AS person, image_path, image_hash
FROM celebrities
WHERE $1::uuid IS NULL OR id > $1
ORDER BY id
LIMIT $2;
