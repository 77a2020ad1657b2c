-- name: lock_match
-- The two users of a match. Locks the match until the end of the transaction.
SELECT face_a.profile_id AS a_id, face_b.profile_id AS b_id
FROM matches
JOIN faces AS face_a ON face_a.id = face_a_id
JOIN faces AS face_b ON face_b.id = face_b_id
WHERE matches.id = $1
FOR NO KEY UPDATE OF matches;

-- name: users_of_match
SELECT face_a.profile_id AS a_id, face_b.profile_id AS b_id
FROM matches
JOIN faces AS face_a ON face_a.id = face_a_id
JOIN faces AS face_b ON face_b.id = face_b_id
WHERE matches.id = $1;

-- name: open_connection
-- Connects the users of the match $1 if both have liked it or both have made a baby from it, notifies both,
-- and starts their chat in the name of the one who acted last. Does nothing if they are connected already: a
-- unique index allows one connection per pair.
WITH acts AS (
    SELECT 'like' AS kind, user_profile_id AS profile_id, created_at
    FROM reactions
    WHERE match_id = $1 AND reaction_type = 'like'
    UNION ALL
    SELECT 'baby', generated_by_profile_id, created_at
    FROM babies
    WHERE match_id = $1
),
pair AS (
    SELECT
        face_a.profile_id AS a_id,
        face_b.profile_id AS b_id,
        -- As the API rounds it: half up.
        floor(100 * similarity_score + 0.5)::integer AS percentage
    FROM matches
    JOIN faces AS face_a ON face_a.id = face_a_id
    JOIN faces AS face_b ON face_b.id = face_b_id
    WHERE matches.id = $1 AND face_a.profile_id <> face_b.profile_id
),
opened AS (
    INSERT INTO mutual_connections (profile_a_id, profile_b_id, match_id, baby_id)
    SELECT a_id, b_id, $1, (SELECT id FROM babies WHERE match_id = $1 ORDER BY created_at DESC, id DESC LIMIT 1)
    FROM pair
    WHERE EXISTS (
        SELECT
        FROM acts
        WHERE profile_id IN (a_id, b_id)
        GROUP BY kind
        HAVING count(DISTINCT profile_id) = 2
    )
    ON CONFLICT (least(profile_a_id, profile_b_id), greatest(profile_a_id, profile_b_id)) DO NOTHING
    RETURNING id
),
told AS (
    INSERT INTO notifications (user_id, type, title, message, related_id, related_type)
    SELECT
        profile.id,
        'mutual_match',
        'It is mutual!',
        format('You and %s are connected now. Say hello!', coalesce(other.name, 'your match')),
        $1,
        'match'
    FROM opened, pair, profiles AS profile, profiles AS other
    WHERE (profile.id, other.id) IN ((a_id, b_id), (b_id, a_id))
),
started AS (
    INSERT INTO messages (connection_id, sender_id, content, message_type)
    SELECT
        opened.id,
        (SELECT profile_id FROM acts WHERE profile_id IN (a_id, b_id) ORDER BY created_at DESC LIMIT 1),
        format('Our faces match by %s %%. What do you think: do we look alike?', percentage),
        'icebreaker'
    FROM opened, pair
)
SELECT id FROM opened;

-- name: renew_connection_baby
-- Lets the connection that began with the match $1 show the match's newest baby.
WITH newest AS (
    SELECT id FROM babies WHERE match_id = $1 ORDER BY created_at DESC, id DESC LIMIT 1
)
UPDATE mutual_connections
SET baby_id = newest.id
FROM newest
WHERE match_id = $1 AND baby_id IS DISTINCT FROM newest.id;

-- name: list_connections
-- One page, latest activity first (`updated_at`: messages, status, baby), with the count, also for an empty page (then with
-- nulls). $1: user, $2: status or null for all, $3 and $4: time and id of the last one seen, $5: limit, $6: how many to
-- pass over.
WITH mine AS (
    SELECT id, updated_at
    FROM mutual_connections
    WHERE (profile_a_id = $1 OR profile_b_id = $1) AND ($2::text IS NULL OR status = $2)
),
page AS (
    SELECT id, updated_at
    FROM mine
    WHERE (updated_at, id) < (
        coalesce($3, 'infinity'::timestamptz),
        coalesce($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
    )
    ORDER BY updated_at DESC, id DESC
    LIMIT $5 OFFSET $6
)
SELECT counted.total, page.id, page.updated_at
FROM (SELECT count(*) AS total FROM mine) AS counted
LEFT JOIN page ON true
ORDER BY page.updated_at DESC, page.id DESC;

-- name: load_connections
-- The connections among $2 of the user $1, as that user sees them: while one has blocked the other, without a baby that
-- the other made.
SELECT
    connection.id,
    connection.match_id,
    connection.status,
    connection.blocked_by IS NOT DISTINCT FROM $1 AS blocked_by_me,
    connection.created_at,
    connection.updated_at,
    other.id AS other_id,
    other.name AS other_name,
    CASE WHEN connection.status <> 'blocked' THEN other.last_seen END AS other_last_seen,
    face.image_path AS other_image,
    baby.image_url AS baby_image,
    message.content AS message_content,
    message.message_type AS message_type,
    message.created_at AS message_created_at,
    message.sender_id = $1 AS message_is_mine,
    (
        SELECT count(*)
        FROM messages
        WHERE connection_id = connection.id AND sender_id <> $1 AND read_at IS NULL
    ) AS unread_count
FROM mutual_connections AS connection
JOIN profiles AS other
    ON other.id = CASE WHEN connection.profile_a_id = $1 THEN connection.profile_b_id ELSE connection.profile_a_id END
LEFT JOIN faces AS face ON face.id = other.default_face_id
LEFT JOIN babies AS baby
    ON baby.id = connection.baby_id
    AND (connection.status <> 'blocked' OR coalesce(baby.generated_by_profile_id, $1) = $1)
LEFT JOIN LATERAL (
    SELECT content, message_type, created_at, sender_id
    FROM messages
    WHERE connection_id = connection.id
    ORDER BY created_at DESC, id DESC
    LIMIT 1
) AS message ON true
WHERE connection.id = ANY($2::uuid[]) AND $1 IN (connection.profile_a_id, connection.profile_b_id);

-- name: find_connection
-- $1: connection, $2: the user.
SELECT $2 IN (profile_a_id, profile_b_id) AS is_member
FROM mutual_connections
WHERE id = $1;

-- name: find_connection_of_pair
-- $1, $2: two users, in any order.
SELECT id
FROM mutual_connections
WHERE least(profile_a_id, profile_b_id) = least($1::uuid, $2::uuid)
    AND greatest(profile_a_id, profile_b_id) = greatest($1::uuid, $2::uuid);

-- name: set_connection_status
-- $1: connection, $2: the user who changes it, $3: status. Does nothing if the other user blocked it, or if it has
-- the status already.
UPDATE mutual_connections
SET status = $3, blocked_by = CASE WHEN $3 = 'blocked' THEN $2::uuid END
WHERE id = $1
    AND $2 IN (profile_a_id, profile_b_id)
    AND status <> $3
    AND (status <> 'blocked' OR blocked_by = $2)
RETURNING true;
