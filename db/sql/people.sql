-- name: tune_people
-- For this transaction: a page is planned for its filters and for how many it skips.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true);

-- name: page_of_people
-- By name, each with the best photo. $1: part of the name, folded, or ''; $2: category, $3: gender, $4: least quality
-- of the best photo; $5, $6: place; $7: limit; $8: how many to skip. For gender and quality the best photos of all are
-- found together, in one pass over an index; without these filters, `best` is planned as empty. To skip many, the few
-- who have no photo are found together, which takes a fifth of the time of looking for a photo of each.
SELECT
    page.id, shown.name, shown.category, shown.gender, best.seen_gender, page.folded_name, best.image_path,
    best.quality_score AS quality,
    (SELECT count(*) FROM celebrities WHERE person_id = page.id) AS photos
FROM (
    SELECT people.id, people.folded_name
    FROM people
    LEFT JOIN (
        SELECT DISTINCT ON (person_id) person_id, quality_score, seen_gender
        FROM celebrities
        ORDER BY person_id, quality_score DESC NULLS LAST, id
    ) AS best ON best.person_id = people.id AND ($3::text IS NOT NULL OR $4::float8 IS NOT NULL)
    WHERE
        CASE
            WHEN $3 IS NOT NULL OR $4 IS NOT NULL THEN best.person_id IS NOT NULL
            WHEN $8 = 0 THEN (SELECT true FROM celebrities WHERE person_id = people.id LIMIT 1)
            ELSE people.id <> ALL (ARRAY(
                SELECT id FROM people AS bare WHERE NOT EXISTS (SELECT FROM celebrities WHERE person_id = bare.id)
            ))
        END
        AND ($1::text = '' OR position($1 IN people.folded_name) > 0)
        AND ($2::text IS NULL OR people.category = $2)
        AND ($3 IS NULL OR known_gender(people.gender, best.seen_gender) = $3)
        AND ($4 IS NULL OR best.quality_score >= $4)
        AND ($5::text IS NULL OR (people.folded_name, people.id) > ($5, $6::uuid))
    ORDER BY people.folded_name, people.id
    LIMIT $7 + 1 OFFSET $8
) AS page
CROSS JOIN LATERAL (SELECT name, category, gender FROM people WHERE id = page.id LIMIT 1) AS shown
CROSS JOIN LATERAL (
    SELECT image_path, quality_score, seen_gender
    FROM celebrities
    WHERE person_id = page.id
    ORDER BY quality_score DESC NULLS LAST, id
    LIMIT 1
) AS best
ORDER BY page.folded_name, page.id;

-- name: count_people
-- With the filters of `page_of_people`. Those who have no photo are found together as well, unless the name leaves few.
SELECT count(*)
FROM people
LEFT JOIN (
    SELECT DISTINCT ON (person_id) person_id, quality_score, seen_gender
    FROM celebrities
    ORDER BY person_id, quality_score DESC NULLS LAST, id
) AS best ON best.person_id = people.id AND ($3::text IS NOT NULL OR $4::float8 IS NOT NULL)
WHERE
    CASE
        WHEN $3 IS NOT NULL OR $4 IS NOT NULL THEN best.person_id IS NOT NULL
        WHEN $1 <> '' THEN (SELECT true FROM celebrities WHERE person_id = people.id LIMIT 1)
        ELSE people.id <> ALL (ARRAY(
            SELECT id FROM people AS bare WHERE NOT EXISTS (SELECT FROM celebrities WHERE person_id = bare.id)
        ))
    END
    AND ($1::text = '' OR position($1 IN people.folded_name) > 0)
    AND ($2::text IS NULL OR people.category = $2)
    AND ($3 IS NULL OR known_gender(people.gender, best.seen_gender) = $3)
    AND ($4 IS NULL OR best.quality_score >= $4);

-- name: folded
SELECT fold_school($1::text);

-- name: categories_of_people
SELECT category, count(*) AS people
FROM people
WHERE category IS NOT NULL
GROUP BY category
ORDER BY category
LIMIT $1;

-- name: person_by_id
SELECT id, name, bio, category, gender, created_at
FROM people
WHERE id = $1;

-- name: photos_of_person
-- The best first. $2: limit.
SELECT
    id, image_path, quality_score AS quality, age, seen_gender, expression,
    ARRAY(
        SELECT stored.pack_digest
        FROM celebrity_embeddings AS stored
        WHERE celebrity_id = celebrities.id AND stored.pack_digest IS NOT NULL
    ) AS pack_digests,
    created_at
FROM celebrities
WHERE person_id = $1
ORDER BY quality_score DESC NULLS LAST, id
LIMIT $2;

-- name: count_photos_of_person
SELECT count(*) FROM celebrities WHERE person_id = $1;

-- name: known_people
SELECT id
FROM people
WHERE id = ANY($1::uuid[]);

-- name: lock_people
-- In the order of the ids, so that two operators wait for each other instead of deadlocking.
SELECT id, name, bio, category, gender
FROM people
WHERE id = ANY($1::uuid[])
ORDER BY id
FOR UPDATE;

-- name: lock_photos_of_people
-- Nobody can store a match with a locked celebrity.
SELECT id, person_id, image_path
FROM celebrities
WHERE person_id = ANY($1::uuid[])
ORDER BY id
FOR UPDATE;

-- name: namesake
-- Another person of this name and category. $3: the person.
SELECT id
FROM people
WHERE person_key(name, category) = person_key($1, $2) AND id <> $3 AND fold_school($1) <> 'unknown'
LIMIT 1;

-- name: update_person
UPDATE people
SET name = $2, bio = $3, category = $4, gender = $5
WHERE id = $1;

-- name: add_person
INSERT INTO people (name, bio, category, gender)
VALUES ($1, $2, $3, $4)
RETURNING id;

-- name: show_person_in_photos
-- Gives the photos $1 the person $2, by name and all. Photos that show this person already are left alone.
UPDATE celebrities
SET person_id = people.id, name = people.name, bio = people.bio, category = people.category, gender = people.gender
FROM people
WHERE people.id = $2
    AND celebrities.id = ANY($1::uuid[])
    AND (celebrities.person_id, celebrities.name, celebrities.bio, celebrities.category, celebrities.gender)
        IS DISTINCT FROM (people.id, people.name, people.bio, people.category, people.gender);

-- name: record_gallery_deletion
INSERT INTO gallery_deletions (people, photos)
VALUES ($1, $2)
RETURNING id;

-- name: keep_deleted_rows
-- $1: deletion, $2: photos, $3: people.
INSERT INTO gallery_deleted_rows (deletion_id, relation, content)
SELECT $1::uuid, 'people', to_jsonb(people) FROM people WHERE id = ANY($3::uuid[])
UNION ALL
SELECT $1, 'celebrities', to_jsonb(celebrities) FROM celebrities WHERE id = ANY($2::uuid[])
UNION ALL
SELECT $1, 'celebrity_matches', to_jsonb(celebrity_matches)
FROM celebrity_matches
WHERE celebrity_id = ANY($2::uuid[])
UNION ALL
SELECT $1, 'spare_celebrity_embeddings', to_jsonb(spare_celebrity_embeddings)
FROM spare_celebrity_embeddings
WHERE celebrity_id = ANY($2::uuid[]);

-- name: delete_celebrities
DELETE FROM celebrities
WHERE id = ANY($1::uuid[]);

-- name: delete_people
DELETE FROM people
WHERE id = ANY($1::uuid[]);

-- name: postpone_object_deletions
-- Keeps the pictures $1 in the storage for $2.
UPDATE object_deletions
SET due_at = now() + $2::interval
WHERE key = ANY($1::text[]) AND attempts = 0;

-- name: claim_gallery_deletion
-- A deletion that can still be undone. $2: for how long. One in the future is from before the clock was set back, and its
-- pictures may be gone.
SELECT people, photos
FROM gallery_deletions
WHERE id = $1 AND deleted_at BETWEEN now() - $2::interval AND now() + $2::interval
FOR UPDATE;

-- name: restore_people
INSERT INTO people (id, name, bio, category, gender, created_at, updated_at)
SELECT kept.id, kept.name, kept.bio, kept.category, kept.gender, kept.created_at, kept.updated_at
FROM gallery_deleted_rows, jsonb_populate_record(NULL::people, content) AS kept
WHERE deletion_id = $1 AND relation = 'people'
ORDER BY kept.id
ON CONFLICT DO NOTHING;

-- name: restore_celebrities
-- A picture that was added again meanwhile stays as it is.
INSERT INTO celebrities
SELECT kept.*
FROM gallery_deleted_rows, jsonb_populate_record(NULL::celebrities, content) AS kept
WHERE deletion_id = $1 AND relation = 'celebrities'
ORDER BY kept.image_hash, kept.id
ON CONFLICT DO NOTHING;

-- name: restore_celebrity_matches
-- Of faces and celebrities that are there.
INSERT INTO celebrity_matches
SELECT kept.*
FROM gallery_deleted_rows, jsonb_populate_record(NULL::celebrity_matches, content) AS kept
WHERE deletion_id = $1
    AND relation = 'celebrity_matches'
    AND EXISTS (SELECT FROM celebrities WHERE id = kept.celebrity_id)
    AND EXISTS (SELECT FROM faces WHERE id = kept.face_id)
ON CONFLICT DO NOTHING;

-- name: restore_spare_embeddings
INSERT INTO spare_celebrity_embeddings
SELECT kept.*
FROM gallery_deleted_rows, jsonb_populate_record(NULL::spare_celebrity_embeddings, content) AS kept
WHERE deletion_id = $1
    AND relation = 'spare_celebrity_embeddings'
    AND EXISTS (SELECT FROM celebrities WHERE id = kept.celebrity_id)
ON CONFLICT DO NOTHING;

-- name: forget_gallery_deletion
DELETE FROM gallery_deletions
WHERE id = $1;

-- name: forget_gallery_deletions
-- Those that nobody can undo any more. $1: for how long one can.
DELETE FROM gallery_deletions
WHERE deleted_at NOT BETWEEN now() - $1::interval AND now() + $1::interval;
