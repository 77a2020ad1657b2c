-- name: parents_of_match
-- The two faces of the match $1.
SELECT
    a.profile_id AS a_profile_id,
    a.image_path AS a_image_path,
    a.landmarks_68 AS a_landmarks,
    b.profile_id AS b_profile_id,
    b.image_path AS b_image_path,
    b.landmarks_68 AS b_landmarks
FROM matches
JOIN faces AS a ON a.id = face_a_id
JOIN faces AS b ON b.id = face_b_id
WHERE matches.id = $1;

-- name: insert_baby
-- $1: id, $2: match, $3: the user who made it, $4: storage key.
INSERT INTO babies (id, match_id, generated_by_profile_id, image_url)
VALUES ($1, $2, $3, $4);

-- name: notify_of_baby
-- Notifies the other user of the match, $1, that $2 made the baby $3, unless one has blocked the other.
INSERT INTO notifications (user_id, type, title, message, related_id, related_type)
SELECT
    $1,
    'baby_generated',
    'Baby Generated!',
    format('%s has made a baby picture of your match.', coalesce(name, 'Your match')),
    $3,
    'baby'
FROM profiles
WHERE id = $2
    AND NOT EXISTS (
        SELECT
        FROM mutual_connections
        WHERE least(profile_a_id, profile_b_id) = least($1::uuid, $2)
            AND greatest(profile_a_id, profile_b_id) = greatest($1::uuid, $2)
            AND status = 'blocked'
    );

-- Both people of a match see all its babies; while one has blocked the other, only those they made.

-- name: list_babies
-- One page of the babies of the matches of the user $1, newest first, with the count, also for an
-- empty page (then with nulls). $2 and $3: time and id of the last one seen, $4: limit.
WITH match AS (
    SELECT matches.id
    FROM faces
    JOIN matches ON face_a_id = faces.id
    WHERE faces.profile_id = $1
    UNION
    SELECT matches.id
    FROM faces
    JOIN matches ON face_b_id = faces.id
    WHERE faces.profile_id = $1
),
mine AS (
    SELECT babies.id, babies.created_at
    FROM match
    JOIN babies ON babies.match_id = match.id
    WHERE coalesce(generated_by_profile_id, $1) <> ALL ((SELECT blocked_profiles($1))::uuid[])
),
page AS (
    SELECT id, created_at
    FROM mine
    WHERE (created_at, id) < (
        coalesce($2, 'infinity'::timestamptz),
        coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
    )
    ORDER BY created_at DESC, id DESC
    LIMIT $4
)
SELECT counted.total, page.id, page.created_at
FROM (SELECT count(*) AS total FROM mine) AS counted
LEFT JOIN page ON true
ORDER BY page.created_at DESC, page.id DESC;

-- name: latest_baby
-- The newest baby of the match $2 that the user $1 may see.
SELECT babies.id
FROM matches
JOIN faces AS a ON a.id = face_a_id
JOIN faces AS b ON b.id = face_b_id
JOIN babies ON babies.match_id = matches.id
WHERE matches.id = $2
    AND $1 IN (a.profile_id, b.profile_id)
    AND coalesce(generated_by_profile_id, $1) <> ALL ((SELECT blocked_profiles($1))::uuid[])
ORDER BY babies.created_at DESC, babies.id DESC
LIMIT 1;

-- name: load_babies
-- The babies among $2 of matches of the user $1, as that user sees them.
SELECT
    babies.id,
    babies.match_id,
    babies.image_url AS image_path,
    babies.created_at,
    profile_a.id AS a_id,
    profile_a.name AS a_name,
    profile_a.gender AS a_gender,
    profile_a.school AS a_school,
    CASE WHEN connection.status IS DISTINCT FROM 'blocked' THEN profile_a.online END AS a_online,
    CASE WHEN connection.status IS DISTINCT FROM 'blocked' THEN profile_a.last_seen END AS a_last_seen,
    face_a.id AS a_face_id,
    face_a.image_path AS a_image_path,
    profile_b.id AS b_id,
    profile_b.name AS b_name,
    profile_b.gender AS b_gender,
    profile_b.school AS b_school,
    CASE WHEN connection.status IS DISTINCT FROM 'blocked' THEN profile_b.online END AS b_online,
    CASE WHEN connection.status IS DISTINCT FROM 'blocked' THEN profile_b.last_seen END AS b_last_seen,
    face_b.id AS b_face_id,
    face_b.image_path AS b_image_path,
    connection.id AS connection_id,
    connection.status AS connection_status,
    connection.created_at AS connection_created_at
FROM babies
JOIN matches ON matches.id = babies.match_id
JOIN faces AS face_a ON face_a.id = face_a_id
JOIN faces AS face_b ON face_b.id = face_b_id
JOIN profiles AS profile_a ON profile_a.id = face_a.profile_id
JOIN profiles AS profile_b ON profile_b.id = face_b.profile_id
LEFT JOIN mutual_connections AS connection
    ON least(connection.profile_a_id, connection.profile_b_id) = least(profile_a.id, profile_b.id)
    AND greatest(connection.profile_a_id, connection.profile_b_id) = greatest(profile_a.id, profile_b.id)
WHERE babies.id = ANY($2::uuid[])
    AND $1 IN (profile_a.id, profile_b.id)
    AND coalesce(generated_by_profile_id, $1) <> ALL ((SELECT blocked_profiles($1))::uuid[]);

-- name: forget_baby_requests
-- Removes requests that are too old to be repeated, some at a time, without those that another statement removes.
DELETE FROM baby_requests
WHERE (profile_id, key) IN (
    SELECT profile_id, key
    FROM baby_requests
    WHERE created_at < now() - interval '24 hours'
    LIMIT 100
    FOR UPDATE SKIP LOCKED
);

-- name: claim_baby_request
-- Returns no row if the key $2 of the user $1 is in use: done, in progress, or for another match than $3.
-- $4: the claim, $5: for how long. A claim that lasts much longer is from before the clock was set
-- back.
INSERT INTO baby_requests AS request (profile_id, key, match_id, claim, claimed_until)
SELECT $1, $2, id, $4, now() + $5
FROM (SELECT id FROM matches WHERE id = $3 FOR KEY SHARE) AS match
ON CONFLICT (profile_id, key) DO UPDATE
    SET match_id = excluded.match_id,
        claim = excluded.claim,
        claimed_until = excluded.claimed_until,
        baby_id = NULL,
        created_at = now()
    WHERE request.created_at < now() - interval '24 hours'
        OR (
            request.match_id = excluded.match_id
            AND request.baby_id IS NULL
            AND request.claimed_until NOT BETWEEN now() AND now() + 2 * $5
        )
RETURNING true;

-- name: get_baby_request
SELECT match_id, baby_id
FROM baby_requests
WHERE profile_id = $1 AND key = $2;

-- name: complete_baby_request
-- Returns no row if another request has taken over the claim $3.
UPDATE baby_requests
SET baby_id = $4
WHERE profile_id = $1 AND key = $2 AND claim = $3 AND baby_id IS NULL
RETURNING true;

-- name: release_baby_request
DELETE FROM baby_requests
WHERE profile_id = $1 AND key = $2 AND claim = $3 AND baby_id IS NULL;
