-- name: get_profile
SELECT id, email, name, gender, school, role, default_face_id, last_seen, created_at
FROM profiles
WHERE id = $1 AND profile_type = 'user';

-- name: create_profile
INSERT INTO profiles (id, profile_type, email, name, school)
VALUES ($1, 'user', $2, $3, $4)
ON CONFLICT (id) DO NOTHING;
