-- name: hold_schools
-- As the triggers do, before anything is read: no profile can change its school until the end of the transaction.
SELECT pg_advisory_xact_lock(4862537199014825361);

-- name: list_schools
-- One page by name, with the count, also for an empty page (then with nulls). $1 and $2: name
-- and id of the last one seen, $3: limit.
WITH page AS (
    SELECT id, name, domains, aliases, created_at, updated_at
    FROM schools
    WHERE $1::text IS NULL OR (name, id) > ($1, $2::uuid)
    ORDER BY name, id
    LIMIT $3
)
SELECT
    counted.total,
    page.*,
    (SELECT count(*) FROM profiles WHERE school_id = page.id AND profile_type = 'user') AS users
FROM (SELECT count(*) AS total FROM schools) AS counted
LEFT JOIN page ON true
ORDER BY page.name, page.id;

-- name: list_unknown_schools
-- What users call schools that are not known, the most frequent first. $1: limit.
SELECT school AS name, count(*) AS users
FROM profiles
WHERE profile_type = 'user' AND school IS NOT NULL AND school_id IS NULL
GROUP BY school
ORDER BY users DESC, name
LIMIT $1;

-- name: get_school
SELECT
    id, name, domains, aliases, created_at, updated_at,
    (SELECT count(*) FROM profiles WHERE school_id = schools.id AND profile_type = 'user') AS users
FROM schools
WHERE id = $1;

-- name: find_school_by_name
SELECT id, name, domains, aliases
FROM schools
WHERE id = (SELECT school_id FROM school_keys WHERE key = fold_school($1))
    -- And not the name of another school.
    AND fold_school(name) = fold_school($1);

-- name: find_taken_school_name
-- A name among $2 that belongs to another school than $1.
SELECT said AS name, schools.id AS school_id, schools.name AS school
FROM unnest($2::text[]) WITH ORDINALITY AS names (said, place)
JOIN school_keys ON key = fold_school(said)
JOIN schools ON schools.id = school_id
WHERE school_id <> $1
ORDER BY place
LIMIT 1;

-- name: count_users_of_school_change
-- How many users join or leave the school $1 if its names and domains are $2.
SELECT count(*)
FROM profiles
WHERE profile_type = 'user' AND (
    (school_id = $1 AND fold_school(school) <> ALL (ARRAY(SELECT fold_school(unnest($2::text[])))))
    OR (
        fold_school(school) = ANY (ARRAY(SELECT fold_school(unnest($2::text[]))))
        AND school_id IS DISTINCT FROM $1
    )
);

-- name: add_school
INSERT INTO schools (id, name, domains, aliases) VALUES ($1, $2, $3, $4);

-- name: change_school
UPDATE schools SET name = $2, domains = $3, aliases = $4 WHERE id = $1;

-- name: remove_school
DELETE FROM schools WHERE id = $1;
