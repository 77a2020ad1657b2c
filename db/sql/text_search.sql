-- name: bio_search_wanted
SELECT EXISTS (SELECT FROM system_settings WHERE key = 'profile_search' AND value = 'true');

-- name: message_search_wanted
-- By an admin, and by the user $1.
SELECT EXISTS (SELECT FROM system_settings WHERE key = 'message_search' AND value = 'true')
    AND EXISTS (SELECT FROM profiles WHERE id = $1 AND message_search);

-- name: school_of_searcher
-- The school of the user $1, those with whom their connection is blocked, and how many of the school have a bio, counted
-- up to $2. No row without a school.
SELECT
    school_key,
    blocked_profiles(id) AS blocked,
    (
        SELECT count(*)
        FROM (
            SELECT FROM profiles AS other WHERE other.school_key = own.school_key AND bio IS NOT NULL LIMIT $2
        ) AS counted
    ) AS people
FROM profiles AS own
WHERE id = $1 AND school_key IS NOT NULL;

-- name: bios_by_meaning
-- By the HNSW index of the model. $1: vector, $2: model, $3: school, $4: profiles to leave out, $5: limit of chunks.
WITH nearest AS (
    SELECT source_id, embedding <=> $1 AS distance
    FROM text_embeddings
    JOIN profiles ON profiles.id = source_id
    WHERE source = 'bio' AND model = $2 AND school_key = $3 AND bio IS NOT NULL AND NOT (profiles.id = ANY ($4::uuid[]))
    ORDER BY embedding <=> $1
    LIMIT $5
)
SELECT source_id AS id FROM nearest GROUP BY source_id ORDER BY min(distance);

-- name: bios_by_meaning_exact
-- The same by comparing everybody of the school; MATERIALIZED prevents the use of the vector index.
WITH compared AS MATERIALIZED (
    SELECT source_id, embedding <=> $1 AS distance
    FROM profiles
    JOIN text_embeddings ON source_id = profiles.id
    WHERE source = 'bio' AND model = $2 AND school_key = $3 AND bio IS NOT NULL AND NOT (profiles.id = ANY ($4::uuid[]))
),
nearest AS (
    SELECT source_id, distance FROM compared ORDER BY distance LIMIT $5
)
SELECT source_id AS id FROM nearest GROUP BY source_id ORDER BY min(distance), source_id;

-- name: bios_by_words
-- $1: what was asked, $2: school, $3: profiles to leave out, $4: how many are ranked, $5: limit. Of a word that more people
-- use, those are ranked whom the index shows first.
WITH found AS MATERIALIZED (
    SELECT profile_id, ts_rank(words, asked) AS rank
    FROM websearch_to_tsquery('pg_catalog.english', $1) AS asked, bio_words
    JOIN profiles ON profiles.id = profile_id
    WHERE words @@ asked AND school_key = $2 AND bio IS NOT NULL AND NOT (profiles.id = ANY ($3::uuid[]))
    LIMIT $4
)
SELECT profile_id AS id FROM found ORDER BY rank DESC, profile_id LIMIT $5;

-- name: people_found
-- Whom a search has found, with the picture of their default face.
SELECT profiles.id, name, bio, image_path
FROM profiles
LEFT JOIN faces ON faces.id = default_face_id
WHERE profiles.id = ANY ($1::uuid[]) AND bio IS NOT NULL;

-- name: messages_by_meaning
-- The messages of the user $3 that mean most alike, by their best chunk. $1: vector, $2: model, $4: how many of the latest
-- are compared, $5: limit.
WITH said AS MATERIALIZED (
    SELECT id
    FROM messages
    WHERE connection_id = ANY (ARRAY(
            SELECT id FROM mutual_connections WHERE profile_a_id = $3 OR profile_b_id = $3
        ))
        AND message_type <> 'image'
    ORDER BY created_at DESC
    LIMIT $4
),
compared AS MATERIALIZED (
    SELECT source_id, min(embedding <=> $1) AS distance
    FROM said
    JOIN text_embeddings ON source_id = said.id AND source = 'message' AND model = $2
    GROUP BY source_id
)
SELECT source_id AS id FROM compared ORDER BY distance, source_id LIMIT $5;

-- name: messages_by_words
-- $1: what was asked, $2: the user, $3: how many are ranked, $4: limit.
WITH found AS MATERIALIZED (
    SELECT id, ts_rank(to_tsvector('pg_catalog.english', content), asked) AS rank, created_at
    FROM websearch_to_tsquery('pg_catalog.english', $1) AS asked, messages
    WHERE to_tsvector('pg_catalog.english', content) @@ asked
        AND connection_id = ANY (ARRAY(
            SELECT id FROM mutual_connections WHERE profile_a_id = $2 OR profile_b_id = $2
        ))
        AND message_type <> 'image'
    LIMIT $3
)
SELECT id FROM found ORDER BY rank DESC, created_at DESC, id LIMIT $4;

-- name: messages_found
SELECT id, connection_id, sender_id, content, message_type, read_at, created_at, ai_status, in_reply_to
FROM messages
WHERE id = ANY ($1::uuid[]);
