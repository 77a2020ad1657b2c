-- name: face_candidates
-- Faces of users that pass the filters; the plan estimates how many. $1: pack digest, $2: school, $3: gender, as
-- the user states it.
SELECT
FROM faces
JOIN profiles ON profiles.id = profile_id
WHERE pack_digest = $1 AND profile_type = 'user'
    AND ($2::text IS NULL OR school_key = school_key_of($2))
    AND ($3::text IS NULL OR profiles.gender = $3)
UNION ALL
SELECT
FROM spare_face_embeddings AS spare
JOIN faces ON faces.id = face_id
JOIN profiles ON profiles.id = profile_id
WHERE spare.pack_digest = $1 AND profile_type = 'user'
    AND ($2::text IS NULL OR school_key = school_key_of($2))
    AND ($3::text IS NULL OR profiles.gender = $3);

-- name: nearest_faces
-- By the HNSW indexes of both tables that may have the pack's embeddings. $1: embedding, $2: pack digest, $3: school,
-- $4: gender, $5: limit.
WITH near AS MATERIALIZED (
    (
        SELECT
            faces.id AS face_id, profile_id, name, school, profiles.gender, image_path,
            1 - (embedding <=> $1) AS similarity
        FROM faces
        JOIN profiles ON profiles.id = profile_id
        WHERE pack_digest = $2 AND profile_type = 'user'
            AND ($3::text IS NULL OR school_key = school_key_of($3))
            AND ($4::text IS NULL OR profiles.gender = $4)
        ORDER BY index_distance(embedding, $1)
        LIMIT $5
    )
    UNION ALL
    (
        SELECT
            face_id, profile_id, name, school, profiles.gender, image_path,
            1 - (spare.embedding <=> $1)
        FROM spare_face_embeddings AS spare
        JOIN faces ON faces.id = face_id
        JOIN profiles ON profiles.id = profile_id
        WHERE spare.pack_digest = $2 AND profile_type = 'user'
            AND ($3::text IS NULL OR school_key = school_key_of($3))
            AND ($4::text IS NULL OR profiles.gender = $4)
        ORDER BY index_distance(spare.embedding, $1)
        LIMIT $5
    )
)
SELECT *
FROM near
ORDER BY similarity DESC, face_id
LIMIT $5;

-- name: nearest_faces_exact
-- The same by comparing every candidate; MATERIALIZED prevents the use of the vector index.
WITH candidates AS MATERIALIZED (
    SELECT faces.id, embedding <=> $1 AS distance
    FROM faces
    JOIN profiles ON profiles.id = profile_id
    WHERE pack_digest = $2 AND profile_type = 'user'
        AND ($3::text IS NULL OR school_key = school_key_of($3))
        AND ($4::text IS NULL OR profiles.gender = $4)
    UNION ALL
    SELECT face_id, spare.embedding <=> $1
    FROM spare_face_embeddings AS spare
    JOIN faces ON faces.id = face_id
    JOIN profiles ON profiles.id = profile_id
    WHERE spare.pack_digest = $2 AND profile_type = 'user'
        AND ($3::text IS NULL OR school_key = school_key_of($3))
        AND ($4::text IS NULL OR profiles.gender = $4)
),
best AS (
    SELECT id, distance
    FROM candidates
    ORDER BY distance, id
    LIMIT $5
)
SELECT
    faces.id AS face_id, profile_id, name, school, profiles.gender, image_path, 1 - distance AS similarity
FROM best
JOIN faces USING (id)
JOIN profiles ON profiles.id = profile_id
ORDER BY distance, faces.id;

-- name: face_pack_digests
-- Whether there are embeddings of the pack $1, and one digest of another pack.
SELECT
    EXISTS (SELECT FROM face_embeddings WHERE pack_digest = $1) AS present,
    (SELECT pack_digest FROM faces WHERE pack_digest <> $1 LIMIT 1) AS other;

-- name: record_face_search
INSERT INTO face_searches (
    profile_id, api_key_id, console_session_id, school, gender, max_results, results, request_id
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: prune_face_searches
-- Older than $1, about $2 at a time. By time, because the application may read nothing else of them.
WITH old AS (
    SELECT max(created_at) AS latest
    FROM (
        SELECT created_at
        FROM face_searches
        WHERE created_at < now() - $1::interval
        ORDER BY created_at
        LIMIT $2
    ) AS oldest
),
gone AS (
    DELETE FROM face_searches WHERE created_at <= (SELECT latest FROM old) RETURNING 1
)
SELECT count(*) FROM gone;
