-- name: interrupted_rematch
-- The last run that asked for the same, if it was interrupted less than a day ago.
SELECT id
FROM rematch_runs
WHERE options = $1::jsonb AND completed_at IS NULL AND created_at > now() - interval '1 day'
ORDER BY created_at DESC
LIMIT 1;

-- name: rematch_shards_left
SELECT number, pack_digest, schools, first_face, last_face, faces
FROM rematch_shards
WHERE run_id = $1 AND completed_at IS NULL
ORDER BY number;

-- name: rematch_shards_done
SELECT
    count(*) AS shards,
    coalesce(sum(pairs), 0)::bigint AS pairs,
    coalesce(sum(added), 0)::bigint AS added,
    coalesce(sum(changed), 0)::bigint AS changed,
    coalesce(sum(removed), 0)::bigint AS removed
FROM rematch_shards
WHERE run_id = $1 AND completed_at IS NOT NULL;

-- name: start_rematch
INSERT INTO rematch_runs (options) VALUES ($1::jsonb) RETURNING id;

-- name: plan_rematch_shard
INSERT INTO rematch_shards (run_id, number, pack_digest, schools, first_face, last_face, faces)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: complete_rematch
UPDATE rematch_runs SET completed_at = now() WHERE id = $1;

-- name: complete_rematch_shard
-- The commit does not wait for the disk: after a crash of the server that loses it, the shard is done again. The end of
-- the run waits for all.
UPDATE rematch_shards
SET pairs = $3, added = $4, changed = $5, removed = $6, completed_at = now()
FROM set_config('synchronous_commit', 'off', true)
WHERE run_id = $1 AND number = $2;

-- name: prune_rematches
DELETE FROM rematch_runs WHERE created_at < now() - interval '30 days';

-- name: school_to_rematch
SELECT school_key_of($1);

-- name: schools_to_rematch
-- Schools with faces that can be matched, and how many of them. $1: only this school; $2: only schools with a
-- face that was stored or analyzed since. Schools are named by what profiles are compared by.
SELECT serving.pack_digest, school_key, count(*) AS faces
FROM faces
JOIN faces_in_force AS serving ON serving.face_id = faces.id
JOIN profiles ON profiles.id = profile_id
WHERE profile_type = 'user' AND school_key IS NOT NULL AND profiles.gender IS NOT NULL
    AND serving.pack_digest IS NOT NULL
    AND ($1::text IS NULL OR school_key = $1)
GROUP BY serving.pack_digest, school_key
HAVING $2::timestamptz IS NULL OR max(greatest(faces.created_at, analyzed_at)) >= $2
ORDER BY serving.pack_digest, school_key;

-- name: faces_to_rematch
-- Faces in runs of $3 by id: the first and last one of each, and how many. $1, $2: as above, of the faces.
SELECT
    pack_digest,
    (array_agg(id ORDER BY id))[1] AS first_face,
    (array_agg(id ORDER BY id DESC))[1] AS last_face,
    count(*) AS faces
FROM (
    SELECT
        serving.pack_digest,
        faces.id,
        (row_number() OVER (PARTITION BY serving.pack_digest ORDER BY faces.id) - 1) / $3::integer AS place
    FROM faces
    JOIN faces_in_force AS serving ON serving.face_id = faces.id
    JOIN profiles ON profiles.id = profile_id
    WHERE serving.pack_digest IS NOT NULL
        AND ($1::text IS NULL OR school_key = $1)
        AND ($2::timestamptz IS NULL OR greatest(faces.created_at, analyzed_at) >= $2)
) AS placed
GROUP BY pack_digest, place
ORDER BY pack_digest, place;

-- name: undescribed_faces
SELECT count(*) FROM faces WHERE pack_digest IS NULL;

-- name: read_faces_of_schools
-- For COPY in binary, as the following. $1: pack digest, $2: schools, $3: which of the faces look for others.
SELECT
    face_traits.id,
    face_traits.embedding,
    geometry,
    face_traits.age,
    symmetry,
    skin_tone,
    face_traits.expression,
    quality,
    gender_number(profiles.gender) AS gender,
    array_position($2::text[], school_key) AS school,
    ($3::timestamptz IS NULL OR greatest(faces.created_at, faces.analyzed_at) >= $3) AS is_probe
FROM profiles
JOIN face_traits_by($1) AS face_traits ON face_traits.profile_id = profiles.id
JOIN faces_in_force AS serving ON serving.face_id = face_traits.id AND serving.pack_digest = $1
JOIN faces ON faces.id = face_traits.id
WHERE profile_type = 'user' AND school_key = ANY($2::text[])
    AND profiles.gender IS NOT NULL

-- name: read_faces_between
-- $1: pack digest, $2 and $3: the first and the last face, $4: only of this school, $5: only since.
SELECT
    face_traits.id,
    face_traits.embedding,
    geometry,
    face_traits.age,
    symmetry,
    skin_tone,
    face_traits.expression,
    quality,
    gender_number(profiles.gender) AS gender,
    0 AS school,
    true AS is_probe
FROM face_traits_by($1) AS face_traits
JOIN faces_in_force AS serving ON serving.face_id = face_traits.id AND serving.pack_digest = $1
JOIN faces ON faces.id = face_traits.id
JOIN profiles ON profiles.id = face_traits.profile_id
WHERE face_traits.id BETWEEN $2 AND $3
    AND ($4::text IS NULL OR school_key = $4)
    AND ($5::timestamptz IS NULL OR greatest(faces.created_at, faces.analyzed_at) >= $5)

-- name: stage_found
-- match_id: for a match that is not stored yet.
CREATE TEMPORARY TABLE staged_found (
    match_id uuid NOT NULL,
    face_id uuid NOT NULL,
    target_id uuid NOT NULL,
    score float8 NOT NULL,
    embedding float8 NOT NULL,
    geometry float8 NOT NULL,
    age float8 NOT NULL,
    symmetry float8 NOT NULL,
    skin_tone float8 NOT NULL,
    expression float8 NOT NULL
) ON COMMIT DROP;

-- name: stage_candidates
CREATE TEMPORARY TABLE staged_candidates (
    match_id uuid NOT NULL,
    face_id uuid NOT NULL,
    target_id uuid NOT NULL
) ON COMMIT DROP;

-- name: score_candidates
-- The best of the candidates of each face, as best_celebrities finds those of one. $1: pack digest, $2: least quality,
-- $3: weights, $4: threshold, $5: how many, $6: the faces. Whom a face may be matched with is checked again, because
-- the face's user and the celebrity may have changed since they were read. Celebrities are completed in passing: to
-- keep them would copy their embeddings, and few are candidates of several faces.
WITH probe AS MATERIALIZED (
    SELECT traits.*, profiles.gender
    FROM face_traits_by($1) AS traits
    JOIN profiles ON profiles.id = profile_id
    WHERE traits.id = ANY($6::uuid[])
),
factor AS MATERIALIZED (
    SELECT
        match_id,
        probe.id AS face_id,
        target.id AS target_id,
        target.person,
        embedding_factor(probe.embedding, target.embedding) AS embedding,
        geometry_factor(probe.geometry, target.geometry) AS geometry,
        age_factor(probe.age, target.age) AS age,
        symmetry_factor(probe.symmetry, target.symmetry) AS symmetry,
        skin_tone_factor(probe.skin_tone, target.skin_tone) AS skin_tone,
        expression_factor(probe.expression, target.expression) AS expression
    FROM staged_candidates AS candidate
    JOIN probe ON probe.id = face_id
    JOIN LATERAL (
        SELECT *
        FROM celebrity_traits_by($1)
        WHERE id = candidate.target_id AND quality >= $2
        OFFSET 0
    ) AS target ON may_match_celebrity(probe.gender, target.gender)
),
scored AS MATERIALIZED (
    SELECT
        factor.*,
        match_score(embedding, geometry, age, symmetry, skin_tone, expression, $3::jsonb) AS score
    FROM factor
),
photo AS (
    SELECT DISTINCT ON (face_id, person) *
    FROM scored
    WHERE score >= $4
    ORDER BY face_id, person, score DESC, target_id
),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY face_id ORDER BY score DESC, target_id) AS rank
    FROM photo
)
INSERT INTO staged_found
SELECT match_id, face_id, target_id, score, embedding, geometry, age, symmetry, skin_tone, expression
FROM ranked
WHERE rank <= $5;

-- name: analyze_found
ANALYZE staged_found;

-- name: lock_faces
-- As a match job does with its one face, so that a face's matches have one writer at a time. Faces that another pack
-- than $2 serves by now have other matches than were found.
SELECT faces.id
FROM faces
JOIN faces_in_force AS serving ON serving.face_id = faces.id AND serving.pack_digest = $2
WHERE faces.id = ANY($1::uuid[])
ORDER BY faces.id
FOR NO KEY UPDATE OF faces;

-- name: stage_difference
-- What is to be written: found and not stored, stored and changed, stored and not found (no score).
CREATE TEMPORARY TABLE staged_difference (
    id uuid NOT NULL,
    is_stored boolean NOT NULL,
    face_id uuid NOT NULL,
    target_id uuid NOT NULL,
    score float8,
    embedding float8,
    geometry float8,
    age float8,
    symmetry float8,
    skin_tone float8,
    expression float8
) ON COMMIT DROP;

-- name: compare_user_matches
-- $1: weights; $2: faces whose stored matches are stale if they were not found; $3: pack digest. The rules are
-- checked again, because a profile may have changed since its faces were read.
WITH pair AS (
    SELECT DISTINCT ON (face_a_id, face_b_id) *
    FROM (
        SELECT least(face_id, target_id) AS face_a_id, greatest(face_id, target_id) AS face_b_id, found.*
        FROM staged_found AS found
    ) AS ordered
    ORDER BY face_a_id, face_b_id, face_id
),
valid AS (
    SELECT pair.*
    FROM pair
    JOIN faces AS a ON a.id = face_a_id
    JOIN faces_in_force AS serving_a ON serving_a.face_id = face_a_id AND serving_a.pack_digest = $3
    JOIN faces AS b ON b.id = face_b_id
    JOIN faces_in_force AS serving_b ON serving_b.face_id = face_b_id AND serving_b.pack_digest = $3
    JOIN profiles AS one ON one.id = a.profile_id
    JOIN profiles AS other ON other.id = b.profile_id AND other.school_key = one.school_key
    WHERE other.gender <> one.gender AND one.profile_type = 'user' AND other.profile_type = 'user'
)
INSERT INTO staged_difference
SELECT
    coalesce(matches.id, match_id), matches.id IS NOT NULL, valid.face_a_id, valid.face_b_id, score, embedding, geometry,
    age, symmetry, skin_tone, expression
FROM valid
LEFT JOIN matches USING (face_a_id, face_b_id)
WHERE matches.pack_digest IS DISTINCT FROM $3 OR match_differs(
    matches.weights, factor_embedding, factor_geometry, factor_age, factor_symmetry, factor_skin_tone,
    factor_expression,
    $1::jsonb, embedding, geometry, age, symmetry, skin_tone, expression
)
UNION ALL
SELECT stored.id, true, stored.face_a_id, stored.face_b_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM (
    SELECT id, face_a_id, face_b_id FROM matches WHERE face_a_id = ANY($2::uuid[])
    UNION
    SELECT id, face_a_id, face_b_id FROM matches WHERE face_b_id = ANY($2::uuid[])
) AS stored
LEFT JOIN valid USING (face_a_id, face_b_id)
WHERE valid.face_id IS NULL;

-- name: lock_different_matches
-- In the order in which match jobs write them.
SELECT
FROM matches
JOIN staged_difference AS difference USING (id)
ORDER BY face_a_id, face_b_id
FOR UPDATE OF matches;

-- name: change_user_matches
WITH changed AS (
    UPDATE matches
    SET similarity_score = score, factor_embedding = embedding, factor_geometry = geometry, factor_age = age,
        factor_symmetry = symmetry, factor_skin_tone = skin_tone, factor_expression = expression,
        weights = $1::jsonb, pack_digest = $2
    FROM staged_difference AS difference
    WHERE difference.id = matches.id AND score IS NOT NULL
    RETURNING 1
)
SELECT count(*) FROM changed;

-- name: remove_user_matches
WITH removed AS (
    DELETE FROM matches
    USING staged_difference AS difference
    WHERE difference.id = matches.id AND score IS NULL AND NOT match_in_use(matches.id)
    RETURNING 1
)
SELECT count(*) FROM removed;

-- name: add_user_matches
WITH added AS (
    INSERT INTO matches (
        id, face_a_id, face_b_id, similarity_score, factor_embedding, factor_geometry, factor_age,
        factor_symmetry, factor_skin_tone, factor_expression, weights, pack_digest
    )
    SELECT
        id, face_id, target_id, score, embedding, geometry, age, symmetry, skin_tone, expression, $1::jsonb, $2
    FROM staged_difference AS difference
    WHERE NOT is_stored
    ORDER BY face_id, target_id
    ON CONFLICT (face_a_id, face_b_id) DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM added;

-- name: count_user_difference
SELECT
    count(*) FILTER (WHERE NOT is_stored) AS added,
    count(*) FILTER (WHERE is_stored AND score IS NOT NULL) AS changed,
    count(*) FILTER (WHERE score IS NULL AND NOT match_in_use(id)) AS removed
FROM staged_difference AS difference;

-- name: compare_celebrity_matches
-- $1: weights; $2: the faces; $3: pack digest; $4: stored matches with celebrities that were added or changed since then
-- stay if they were not found, because the search may not have seen those.
WITH stored AS MATERIALIZED (
    SELECT *
    FROM celebrity_matches
    WHERE face_id = ANY($2::uuid[])
)
INSERT INTO staged_difference
SELECT
    coalesce(stored.id, match_id), stored.id IS NOT NULL, coalesce(found.face_id, stored.face_id),
    coalesce(target_id, celebrity_id), score, embedding, geometry, age, symmetry, skin_tone, expression
FROM staged_found AS found
FULL JOIN stored ON stored.face_id = found.face_id AND celebrity_id = target_id
WHERE CASE
    WHEN found.face_id IS NULL THEN EXISTS (
        SELECT FROM celebrities WHERE celebrities.id = celebrity_id AND created_at < $4 AND updated_at < $4
    )
    ELSE pack_digest IS DISTINCT FROM $3 OR match_differs(
        weights, factor_embedding, factor_geometry, factor_age, factor_symmetry, factor_skin_tone, factor_expression,
        $1::jsonb, embedding, geometry, age, symmetry, skin_tone, expression
    )
END;

-- name: lock_different_celebrity_matches
SELECT
FROM celebrity_matches
JOIN staged_difference AS difference USING (id)
ORDER BY celebrity_matches.face_id, celebrity_id
FOR UPDATE OF celebrity_matches;

-- name: change_celebrity_matches
WITH changed AS (
    UPDATE celebrity_matches
    SET similarity_score = score, factor_embedding = embedding, factor_geometry = geometry, factor_age = age,
        factor_symmetry = symmetry, factor_skin_tone = skin_tone, factor_expression = expression,
        weights = $1::jsonb, pack_digest = $2
    FROM staged_difference AS difference
    WHERE difference.id = celebrity_matches.id AND score IS NOT NULL
    RETURNING 1
)
SELECT count(*) FROM changed;

-- name: remove_celebrity_matches
WITH removed AS (
    DELETE FROM celebrity_matches
    USING staged_difference AS difference
    WHERE difference.id = celebrity_matches.id AND score IS NULL
    RETURNING 1
)
SELECT count(*) FROM removed;

-- name: add_celebrity_matches
-- Without ON CONFLICT, which takes an eighth more time: the face is locked, so that only a person who comes back after a
-- deletion can bring the same match.
WITH added AS (
    INSERT INTO celebrity_matches (
        id, face_id, celebrity_id, similarity_score, factor_embedding, factor_geometry, factor_age,
        factor_symmetry, factor_skin_tone, factor_expression, weights, pack_digest
    )
    SELECT
        id, face_id, target_id, score, embedding, geometry, age, symmetry, skin_tone, expression, $1::jsonb, $2
    FROM staged_difference AS difference
    WHERE NOT is_stored
    ORDER BY face_id, target_id
    RETURNING 1
)
SELECT count(*) FROM added;

-- name: forget_overtaken_celebrities
-- Found; but since then the celebrity was removed, or the match was restored.
WITH forgotten AS (
    DELETE FROM staged_difference AS difference
    WHERE NOT is_stored AND (
        NOT EXISTS (SELECT FROM celebrities WHERE celebrities.id = target_id)
        OR EXISTS (
            SELECT
            FROM celebrity_matches AS stored
            WHERE stored.face_id = difference.face_id AND celebrity_id = target_id
        )
    )
    RETURNING target_id
)
SELECT count(*) FROM forgotten;

-- name: count_celebrity_difference
SELECT
    count(*) FILTER (WHERE NOT is_stored) AS added,
    count(*) FILTER (WHERE is_stored AND score IS NOT NULL) AS changed,
    count(*) FILTER (WHERE score IS NULL) AS removed
FROM staged_difference AS difference;

-- name: match_generation
-- The generation of a pack, if these were its rules, and the look at the gallery is not older than $3 hours. A look in the
-- future, from before the clock was set back, may be of any age.
SELECT generation, snapshot, last_change, history
FROM match_generations
WHERE pack_digest = $1 AND rules = $2::jsonb
    AND looked_at BETWEEN now() - make_interval(hours => $3) AND clock_timestamp();

-- name: extend_match_generation
-- Nothing has changed up to this look.
UPDATE match_generations
SET snapshot = $3, last_change = $4, history = $5, looked_at = now()
WHERE pack_digest = $1 AND generation = $2;

-- name: begin_match_generation
INSERT INTO match_generations (pack_digest, rules, snapshot, last_change, history)
VALUES ($1, $2::jsonb, $3, $4, $5)
ON CONFLICT (pack_digest) DO UPDATE
SET generation = DEFAULT, rules = excluded.rules, snapshot = excluded.snapshot, last_change = excluded.last_change,
    history = excluded.history, looked_at = excluded.looked_at
RETURNING generation;

-- name: settled_among
-- Which of the faces $1 of contents $2 have the matches that a search of generation $3 would find.
SELECT settled.face_id
FROM unnest($1::uuid[], $2::bytea[]) AS face (id, content)
JOIN settled_faces AS settled
    ON settled.face_id = face.id AND settled.content = face.content AND settled.generation = $3
CROSS JOIN LATERAL (
    SELECT coalesce(bit_xor(hash_record_extended(stored, 0)), 0) AS matches
    FROM celebrity_matches AS stored
    WHERE stored.face_id = face.id
) AS now
WHERE now.matches = settled.matches;

-- name: settle_faces
-- After the matches have been written: those of the faces $1 that are stored as they were found. Not all are: a match
-- with a celebrity that changed meanwhile was neither written nor removed.
WITH stored AS MATERIALIZED (
    SELECT face_id, celebrity_id, hash_record_extended(stored, 0) AS hash
    FROM celebrity_matches AS stored
    WHERE face_id = ANY($1::uuid[])
),
other AS (
    SELECT coalesce(found.face_id, stored.face_id) AS face_id
    FROM staged_found AS found
    FULL JOIN stored ON stored.face_id = found.face_id AND celebrity_id = target_id
    WHERE stored.face_id IS NULL OR found.face_id IS NULL
)
INSERT INTO settled_faces (face_id, generation, content, matches)
SELECT face.id, $3, face.content, coalesce(now.matches, 0)
FROM unnest($1::uuid[], $2::bytea[]) AS face (id, content)
LEFT JOIN (SELECT face_id, bit_xor(hash) AS matches FROM stored GROUP BY face_id) AS now ON now.face_id = face.id
WHERE face.id NOT IN (SELECT face_id FROM other)
ORDER BY face.id
ON CONFLICT (face_id) DO UPDATE
SET generation = excluded.generation, content = excluded.content, matches = excluded.matches;

-- name: clock
SELECT now();
