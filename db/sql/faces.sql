-- name: insert_face
-- Stores a face and makes it its user's default. Returns no row if the user has the picture already. $21: the trace of the
-- job that a trigger queues, or null. Its events keep others from publishing theirs until the commit, so it is one
-- statement, and the commit does not wait for the disk: stored_match_job does, together with those of other uploads.
WITH face AS (
    INSERT INTO faces (
        embedding, pack_digest, age, quality_score, blur_score, illumination_score, symmetry_score,
        landmarks_68, pose, geometry_ratios, skin_tone_lab, expression, expression_confidence,
        emotion_scores, analyzed_at, id, profile_id, image_path, image_hash, gender
    )
    SELECT
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20
    FROM set_config('semblance.traceparent', coalesce($21, ''), true) AS traced,
        set_config('synchronous_commit', 'off', true) AS committed
    ON CONFLICT (profile_id, image_hash) WHERE image_hash IS NOT NULL DO NOTHING
    RETURNING id, profile_id, created_at
),
chosen AS (
    UPDATE profiles SET default_face_id = face.id FROM face WHERE profiles.id = face.profile_id
)
SELECT created_at FROM face;

-- name: stored_match_job
-- The latest job of a face, or null; a trigger makes the first one. The message is for nobody: a transaction that writes
-- something ends when it is on disk, with all that was committed before.
SELECT
    (SELECT id FROM match_jobs WHERE face_id = $1 ORDER BY created_at DESC LIMIT 1) AS id,
    pg_logical_emit_message(true, 'semblance', '');

-- name: list_faces
-- $1: profile; $2, $3: time and id of the last face seen, or both null; $4: limit.
SELECT id, image_path, created_at
FROM faces
WHERE profile_id = $1
    AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid))
ORDER BY created_at DESC, id DESC
LIMIT $4;

-- name: count_faces
SELECT count(*)
FROM faces
WHERE profile_id = $1;

-- name: lock_profile
SELECT
FROM profiles
WHERE id = $1
FOR NO KEY UPDATE;

-- name: lock_match_jobs_of_face
-- Before the face, as a worker does that ends a job: in another order the two would deadlock.
SELECT
FROM match_jobs
WHERE face_id = $1 AND user_id = $2
ORDER BY id
FOR UPDATE;

-- name: lock_face
SELECT image_path
FROM faces
WHERE id = $1 AND profile_id = $2
FOR UPDATE;

-- name: lock_matches_of_face
-- In the order of their ids, so that the two users of several matches do not wait for each other.
SELECT id
FROM matches
WHERE face_a_id = $1 OR face_b_id = $1
ORDER BY id
FOR UPDATE;

-- name: lock_connections_of_matches
-- Before their notifications, as those do who send and read messages: in another order they would deadlock.
SELECT
FROM mutual_connections
WHERE match_id = ANY($1)
ORDER BY id
FOR UPDATE;

-- name: baby_keys_of_matches
-- Keys only: rows of the old app may have an address of another host, which are not deleted here.
SELECT image_url AS key
FROM babies
WHERE match_id = ANY($1) AND NOT is_foreign_address(image_url);

-- name: delete_notifications_of_matches
-- Notifications of the matches $1 and of what is deleted with them, for which there is no foreign key. Locked in the order
-- of their ids, as in clear_notifications, so that the two wait for each other instead of deadlocking.
WITH gone_connections AS (
    SELECT id, profile_a_id, profile_b_id
    FROM mutual_connections
    WHERE match_id = ANY($1)
),
related AS (
    SELECT unnest($1::uuid[]) AS id
    UNION ALL
    SELECT id FROM babies WHERE match_id = ANY($1)
    UNION ALL
    SELECT id FROM gone_connections
    UNION ALL
    SELECT messages.id FROM messages JOIN gone_connections ON gone_connections.id = connection_id
),
-- The users they may belong to, because the index finds notifications by user only.
users AS (
    SELECT faces.profile_id AS id
    FROM matches
    JOIN faces ON faces.id IN (face_a_id, face_b_id)
    WHERE matches.id = ANY($1)
    UNION
    SELECT profile_a_id FROM gone_connections
    UNION
    SELECT profile_b_id FROM gone_connections
),
gone AS (
    SELECT id
    FROM notifications
    WHERE user_id IN (SELECT id FROM users) AND related_id IN (SELECT id FROM related)
    ORDER BY id
    FOR UPDATE
)
DELETE FROM notifications
WHERE id IN (SELECT id FROM gone);

-- name: delete_face
DELETE FROM faces
WHERE id = $1;

-- name: default_to_newest_face
-- If the default face was deleted, for which its foreign key has set null.
UPDATE profiles
SET default_face_id = (
    SELECT id
    FROM faces
    WHERE profile_id = $1
    ORDER BY created_at DESC, id DESC
    LIMIT 1
)
WHERE id = $1 AND default_face_id IS NULL;
