-- name: bio_search_wanted
SELECT EXISTS (SELECT FROM system_settings WHERE key = 'profile_search' AND value = 'true');

-- name: lock_bio_jobs
-- Until the end of the transaction: two workers queue no bio twice.
SELECT pg_advisory_xact_lock(7203384690417725110);

-- name: queue_missing_bios
-- Bios without a vector of the model $1, $2 at most, other than those of which a job is open or has failed today.
WITH missing AS (
    SELECT profile_id
    FROM bio_words
    JOIN profiles ON profiles.id = profile_id
    WHERE NOT EXISTS (
            SELECT FROM bio_vectors WHERE bio_vectors.profile_id = bio_words.profile_id AND model = $1
        )
        AND NOT EXISTS (
            SELECT
            FROM inference_queue AS job
            WHERE job.profile_id = bio_words.profile_id AND kind = 'embed'
                AND (status IN ('pending', 'processing') OR status = 'failed' AND completed_at > now() - interval '1 day')
        )
    LIMIT $2
),
queued AS (
    INSERT INTO inference_queue (kind, profile_id) SELECT 'embed', profile_id FROM missing RETURNING 1
)
SELECT count(*) FROM queued;

-- name: bios_to_embed
-- The bios of the profiles $1 that lack a vector of the model $2; none if the search is off.
SELECT id, bio
FROM profiles
WHERE id = ANY ($1::uuid[]) AND bio IS NOT NULL
    AND EXISTS (SELECT FROM system_settings WHERE key = 'profile_search' AND value = 'true')
    AND NOT EXISTS (SELECT FROM bio_vectors WHERE profile_id = profiles.id AND model = $2);

-- name: missing_bios
-- Bios without a vector of the model $1, $2 at most.
SELECT profiles.id, bio
FROM bio_words
JOIN profiles ON profiles.id = profile_id
WHERE bio IS NOT NULL
    AND NOT EXISTS (SELECT FROM bio_vectors WHERE bio_vectors.profile_id = profiles.id AND model = $1)
ORDER BY profiles.id
LIMIT $2;

-- name: store_bio_vectors
-- $1: profiles, $2: the bios that were read, $3: model, $4: their vectors. Stores those whose bio is still the same, and
-- returns them. A bio cannot change before the transaction ends.
WITH current AS (
    SELECT id, bio FROM profiles WHERE id = ANY ($1::uuid[]) ORDER BY id FOR SHARE
),
stored AS (
    INSERT INTO bio_vectors (profile_id, model, embedding)
    SELECT id, $3, embedding
    FROM unnest($1::uuid[], $2::text[], $4::vector[]) AS made (profile_id, read, embedding)
    JOIN current ON current.id = profile_id AND current.bio = read
    ON CONFLICT (profile_id, model) DO UPDATE SET embedding = excluded.embedding, created_at = now()
    RETURNING profile_id
)
SELECT profile_id FROM stored;

-- name: queue_bio_again
-- A job for the profile $1, whose bio changed while the last one was being embedded.
INSERT INTO inference_queue (kind, profile_id)
SELECT 'embed', id
FROM profiles
WHERE id = $1 AND bio IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM inference_queue WHERE profile_id = $1 AND kind = 'embed' AND status = 'pending'
    );

-- name: count_bios
SELECT count(*) FROM profiles WHERE bio IS NOT NULL;

-- name: count_bio_vectors
SELECT model, count(*) AS vectors, max(created_at) AS latest FROM bio_vectors GROUP BY model ORDER BY latest DESC;

-- name: retire_bio_vectors
-- Of the models other than $1, $2 at most.
WITH old AS (
    SELECT profile_id, model FROM bio_vectors WHERE model <> $1 LIMIT $2 FOR UPDATE SKIP LOCKED
),
gone AS (
    DELETE FROM bio_vectors
    USING old
    WHERE bio_vectors.profile_id = old.profile_id AND bio_vectors.model = old.model
    RETURNING 1
)
SELECT count(*) FROM gone;

-- name: tune_bio_search
-- Settings of a search, for this transaction. $1: ef_search, as text. A search of the index that meets people of other
-- schools goes on until it has enough, and each search is planned for its school.
SELECT
    set_config('hnsw.ef_search', $1, true),
    set_config('hnsw.iterative_scan', 'strict_order', true),
    set_config('plan_cache_mode', 'force_custom_plan', true);

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
-- By the HNSW index. $1: vector, $2: model, $3: school, $4: profiles to leave out, $5: limit.
SELECT profile_id
FROM bio_vectors
JOIN profiles ON profiles.id = profile_id
WHERE model = $2 AND school_key = $3 AND bio IS NOT NULL AND NOT (profiles.id = ANY ($4::uuid[]))
ORDER BY embedding <=> $1
LIMIT $5;

-- name: bios_by_meaning_exact
-- The same by comparing everybody of the school; MATERIALIZED prevents the use of the vector index.
WITH compared AS MATERIALIZED (
    SELECT profile_id, embedding <=> $1 AS distance
    FROM profiles
    JOIN bio_vectors ON profile_id = profiles.id
    WHERE model = $2 AND school_key = $3 AND bio IS NOT NULL AND NOT (profiles.id = ANY ($4::uuid[]))
)
SELECT profile_id FROM compared ORDER BY distance, profile_id LIMIT $5;

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
SELECT profile_id FROM found ORDER BY rank DESC, profile_id LIMIT $5;

-- name: people_found
-- Whom a search has found, with the picture of their default face.
SELECT profiles.id, name, bio, image_path
FROM profiles
LEFT JOIN faces ON faces.id = default_face_id
WHERE profiles.id = ANY ($1::uuid[]) AND bio IS NOT NULL;
