-- name: get_profile
SELECT
    id, email, name, gender, school, role, default_face_id, last_seen, show_presence, text_generation, message_search, bio,
    created_at
FROM profiles
WHERE id = $1 AND profile_type = 'user';

-- name: get_profile_of_session
-- Always one row: whether the session $2 was revoked, whether the user is blocked, and the profile; its id is null if it
-- does not exist. The application's login does not see a blocked one.
SELECT
    EXISTS (SELECT FROM revoked_sessions WHERE key = $2) AS is_revoked,
    profile.blocked_at IS NOT NULL OR (profile.id IS NULL AND is_blocked($1)) AS is_blocked,
    profile.id, email, name, gender, school, role, default_face_id, last_seen, show_presence, text_generation,
    message_search, bio, created_at
FROM (VALUES ($1::uuid)) AS wanted (id)
LEFT JOIN profiles AS profile ON profile.id = wanted.id AND profile_type = 'user';

-- name: create_profile
-- No row if the id or the e-mail address exists already, even if another transaction is adding it.
INSERT INTO profiles (id, profile_type, email, name, gender, school)
VALUES ($1, 'user', $2, $3, $4, $5)
ON CONFLICT DO NOTHING
RETURNING
    id, email, name, gender, school, role, default_face_id, last_seen, show_presence, text_generation, message_search, bio,
    created_at;

-- name: update_profile
-- $2: new values by column; other columns stay. No school means that of the address. The face is locked, so that it
-- cannot be deleted before the profile refers to it; the profile before it, as by a deletion, so that the two cannot deadlock.
WITH own AS MATERIALIZED (
    SELECT id FROM profiles WHERE id = $1 FOR NO KEY UPDATE
),
face AS (
    SELECT faces.id
    FROM own JOIN faces ON faces.profile_id = own.id
    WHERE faces.id = ($2::jsonb ->> 'default_face_id')::uuid
    FOR KEY SHARE OF faces
)
UPDATE profiles
SET
    name = CASE WHEN $2 ? 'name' THEN $2 ->> 'name' ELSE name END,
    gender = CASE WHEN $2 ? 'gender' THEN $2 ->> 'gender' ELSE gender END,
    school = CASE WHEN $2 ? 'school' THEN coalesce($2 ->> 'school', school_of_address(email)) ELSE school END,
    default_face_id = CASE WHEN $2 ? 'default_face_id' THEN (SELECT id FROM face) ELSE default_face_id END,
    show_presence = CASE
        WHEN $2 ? 'show_presence' THEN coalesce(($2 ->> 'show_presence')::boolean, true)
        ELSE show_presence
    END,
    text_generation = CASE
        WHEN $2 ? 'text_generation' THEN coalesce(($2 ->> 'text_generation')::boolean, false)
        ELSE text_generation
    END,
    message_search = CASE
        WHEN $2 ? 'message_search' THEN coalesce(($2 ->> 'message_search')::boolean, false)
        ELSE message_search
    END,
    bio = CASE WHEN $2 ? 'bio' THEN $2 ->> 'bio' ELSE bio END
WHERE id = $1
    AND profile_type = 'user'
    AND ($2 ->> 'default_face_id' IS NULL OR EXISTS (SELECT FROM face))
RETURNING
    id, email, name, gender, school, role, default_face_id, last_seen, show_presence, text_generation, message_search, bio,
    created_at;

-- name: school_of_address
SELECT school_of_address($1);

-- name: profile_updated_at
SELECT updated_at FROM profiles WHERE id = $1;

-- name: default_image
SELECT faces.image_path
FROM profiles
JOIN faces ON faces.id = profiles.default_face_id
WHERE profiles.id = $1;

-- name: set_role
WITH found AS (
    SELECT id, role FROM profiles WHERE email = $1 AND profile_type = 'user' FOR UPDATE
)
UPDATE profiles
SET role = $2
FROM found
WHERE profiles.id = found.id
RETURNING profiles.id, found.role AS role_before;

-- name: list_admins
SELECT
    id, email, name, gender, school, role, default_face_id, last_seen, show_presence, text_generation, message_search, bio,
    created_at
FROM profiles
WHERE role = 'admin'
ORDER BY email;
