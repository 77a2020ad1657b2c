-- Scores from stored factors: a preview of other rules, and an update to the current ones. Weights are as in
-- system_settings.matching_weights. Rows without factors stay as they are.

-- name: limit_preview
-- For one transaction. $1: as statement_timeout takes it. The plan is made for the weights at hand, which are
-- then constants and not looked up in every row.
SELECT
    set_config('statement_timeout', $1, true),
    set_config('plan_cache_mode', 'force_custom_plan', true);

-- name: preview_matches
-- What becomes of the lists of faces when the rules $1 (weights) and $2 (threshold) give way to $3 and $4. A
-- list has a face's best $5 matches that reach the threshold, in the order in which best_users finds them.
-- A match is on two lists: it is there as long as it is on one, and moves where its place changes on either.
-- With the counts, up to $6 examples of each change, the greatest first; nulls if nothing changes.
WITH scored AS MATERIALIZED (
    SELECT
        id,
        face_a_id,
        face_b_id,
        match_score(
            factor_embedding, factor_geometry, factor_age, factor_symmetry, factor_skin_tone,
            factor_expression, $1::jsonb
        ) AS score_before,
        match_score(
            factor_embedding, factor_geometry, factor_age, factor_symmetry, factor_skin_tone,
            factor_expression, $3::jsonb
        ) AS score_after
    FROM matches
    WHERE factor_embedding IS NOT NULL
),
entry AS (
    SELECT id, true AS of_a, face_a_id AS face_id, face_b_id AS other_id, score_before, score_after
    FROM scored
    WHERE score_before >= $2 OR score_after >= $4
    UNION ALL
    SELECT id, false, face_b_id, face_a_id, score_before, score_after
    FROM scored
    WHERE score_before >= $2 OR score_after >= $4
),
-- Matches that reach the threshold come before those that do not, so ranks may be counted over both.
placed AS (
    SELECT
        id,
        of_a,
        score_before >= $2 AS passes_before,
        score_after >= $4 AS passes_after,
        row_number() OVER (PARTITION BY face_id ORDER BY score_before DESC, other_id) AS place_before,
        row_number() OVER (PARTITION BY face_id ORDER BY score_after DESC, other_id) AS place_after
    FROM entry
),
ranked AS (
    SELECT
        id,
        of_a,
        CASE WHEN passes_before AND place_before <= $5 THEN place_before END AS rank_before,
        CASE WHEN passes_after AND place_after <= $5 THEN place_after END AS rank_after
    FROM placed
),
listed AS MATERIALIZED (
    SELECT
        id,
        max(rank_before) FILTER (WHERE of_a) AS a_rank_before,
        max(rank_before) FILTER (WHERE NOT of_a) AS b_rank_before,
        max(rank_after) FILTER (WHERE of_a) AS a_rank_after,
        max(rank_after) FILTER (WHERE NOT of_a) AS b_rank_after,
        count(rank_before) > 0 AS is_before,
        count(rank_after) > 0 AS is_after
    FROM ranked
    WHERE num_nulls(rank_before, rank_after) < 2
    GROUP BY id
),
changed AS MATERIALIZED (
    SELECT
        listed.*,
        CASE WHEN NOT is_before THEN 'appear' WHEN NOT is_after THEN 'vanish' ELSE 'move' END AS change
    FROM listed
    WHERE (a_rank_before, b_rank_before) IS DISTINCT FROM (a_rank_after, b_rank_after)
),
-- As match_in_use, for all at once: called a hundred thousand times it would take most of the time.
used AS (
    SELECT match_id FROM reactions WHERE reaction_type = 'like'
    UNION ALL
    SELECT match_id FROM babies
    UNION ALL
    SELECT match_id FROM baby_requests
    UNION ALL
    SELECT match_id FROM mutual_connections
),
counted AS (
    SELECT
        (SELECT count(*) FROM listed WHERE is_before) AS before,
        (SELECT count(*) FROM listed WHERE is_after) AS after,
        count(*) FILTER (WHERE change = 'appear') AS appear,
        count(*) FILTER (WHERE change = 'vanish') AS vanish,
        count(*) FILTER (WHERE change = 'move') AS move,
        count(*) FILTER (WHERE change = 'vanish' AND id IN (SELECT match_id FROM used)) AS vanish_in_use,
        (SELECT count(*) FROM matches WHERE factor_embedding IS NULL) AS without_factors
    FROM changed
),
numbered AS (
    SELECT
        changed.*,
        score_before,
        score_after,
        face_a_id,
        face_b_id,
        row_number() OVER (
            PARTITION BY change
            ORDER BY
                CASE change
                    WHEN 'appear' THEN score_after
                    WHEN 'vanish' THEN score_before
                    ELSE greatest(
                        abs(coalesce(a_rank_before, $5 + 1) - coalesce(a_rank_after, $5 + 1)),
                        abs(coalesce(b_rank_before, $5 + 1) - coalesce(b_rank_after, $5 + 1))
                    )
                END DESC,
                id
        ) AS number
    FROM changed
    JOIN scored USING (id)
),
example AS (
    SELECT
        change,
        number,
        numbered.id,
        score_before,
        score_after,
        face_a_id AS a_face_id,
        a.id AS a_user_id,
        a.name AS a_name,
        face_a.image_path AS a_image_path,
        a_rank_before,
        a_rank_after,
        face_b_id AS b_face_id,
        b.id AS b_user_id,
        b.name AS b_name,
        face_b.image_path AS b_image_path,
        b_rank_before,
        b_rank_after
    FROM numbered
    JOIN faces AS face_a ON face_a.id = face_a_id
    JOIN profiles AS a ON a.id = face_a.profile_id
    JOIN faces AS face_b ON face_b.id = face_b_id
    JOIN profiles AS b ON b.id = face_b.profile_id
    WHERE number <= $6
)
SELECT counted.*, example.*
FROM counted
LEFT JOIN example ON true
ORDER BY change, number;

-- name: preview_celebrity_matches
-- As preview_matches; a match with a celebrity is on one list.
WITH scored AS MATERIALIZED (
    SELECT
        id,
        face_id,
        celebrity_id,
        match_score(
            factor_embedding, factor_geometry, factor_age, factor_symmetry, factor_skin_tone,
            factor_expression, $1::jsonb
        ) AS score_before,
        match_score(
            factor_embedding, factor_geometry, factor_age, factor_symmetry, factor_skin_tone,
            factor_expression, $3::jsonb
        ) AS score_after
    FROM celebrity_matches
    WHERE factor_embedding IS NOT NULL
),
placed AS (
    SELECT
        scored.*,
        row_number() OVER (PARTITION BY face_id ORDER BY score_before DESC, celebrity_id) AS place_before,
        row_number() OVER (PARTITION BY face_id ORDER BY score_after DESC, celebrity_id) AS place_after
    FROM scored
    WHERE score_before >= $2 OR score_after >= $4
),
listed AS MATERIALIZED (
    SELECT
        id,
        face_id,
        celebrity_id,
        score_before,
        score_after,
        CASE WHEN score_before >= $2 AND place_before <= $5 THEN place_before END AS rank_before,
        CASE WHEN score_after >= $4 AND place_after <= $5 THEN place_after END AS rank_after
    FROM placed
),
changed AS MATERIALIZED (
    SELECT
        listed.*,
        CASE WHEN rank_before IS NULL THEN 'appear' WHEN rank_after IS NULL THEN 'vanish' ELSE 'move' END
            AS change
    FROM listed
    WHERE rank_before IS DISTINCT FROM rank_after
),
counted AS (
    SELECT
        (SELECT count(rank_before) FROM listed) AS before,
        (SELECT count(rank_after) FROM listed) AS after,
        count(*) FILTER (WHERE change = 'appear') AS appear,
        count(*) FILTER (WHERE change = 'vanish') AS vanish,
        count(*) FILTER (WHERE change = 'move') AS move,
        0::bigint AS vanish_in_use,
        (SELECT count(*) FROM celebrity_matches WHERE factor_embedding IS NULL) AS without_factors
    FROM changed
),
numbered AS (
    SELECT
        changed.*,
        row_number() OVER (
            PARTITION BY change
            ORDER BY
                CASE change
                    WHEN 'appear' THEN score_after
                    WHEN 'vanish' THEN score_before
                    ELSE abs(rank_before - rank_after)
                END DESC,
                id
        ) AS number
    FROM changed
),
example AS (
    SELECT
        change,
        number,
        numbered.id,
        score_before,
        score_after,
        rank_before,
        rank_after,
        face_id,
        user_profile.id AS user_id,
        user_profile.name AS user_name,
        faces.image_path AS user_image_path,
        celebrity_id,
        celebrities.name AS celebrity_name,
        celebrities.image_path AS celebrity_image_path
    FROM numbered
    JOIN faces ON faces.id = face_id
    JOIN profiles AS user_profile ON user_profile.id = faces.profile_id
    JOIN celebrities ON celebrities.id = celebrity_id
    WHERE number <= $6
)
SELECT counted.*, example.*
FROM counted
LEFT JOIN example ON true
ORDER BY change, number;

-- name: count_scores
SELECT (SELECT count(*) FROM matches) + (SELECT count(*) FROM celebrity_matches);

-- name: survey_matches
-- What is to be done in the $3 pairs that follow the pair $1, $2, by the weights $4 and the threshold $5, and
-- the last of them: `removed` below the threshold unless they are in use, which `kept` counts; `rescored`
-- where they stay and have other weights.
WITH batch AS MATERIALIZED (
    SELECT
        id,
        face_a_id,
        face_b_id,
        weights IS DISTINCT FROM $4::jsonb AS is_other,
        CASE WHEN factor_embedding IS NOT NULL THEN match_score(
            factor_embedding, factor_geometry, factor_age, factor_symmetry, factor_skin_tone,
            factor_expression, $4::jsonb
        ) END AS score
    FROM matches
    WHERE (face_a_id, face_b_id) > ($1, $2)
    ORDER BY face_a_id, face_b_id
    LIMIT $3
),
judged AS (
    SELECT *, CASE WHEN score < $5 THEN match_in_use(id) END AS is_kept
    FROM batch
)
SELECT
    count(*) AS rows,
    count(*) FILTER (WHERE is_other AND (score >= $5 OR is_kept)) AS rescored,
    count(*) FILTER (WHERE NOT is_kept) AS removed,
    count(*) FILTER (WHERE is_kept) AS kept,
    count(*) FILTER (WHERE score IS NULL) AS without_factors,
    (array_agg(face_a_id ORDER BY face_a_id DESC, face_b_id DESC))[1] AS last_a,
    (array_agg(face_b_id ORDER BY face_a_id DESC, face_b_id DESC))[1] AS last_b
FROM judged;

-- name: lock_due_matches
-- Those of the pairs after $1, $2 and up to $3, $4 that the weights $5 or the threshold $6 change. Rows that
-- another transaction has locked are skipped: without waiting there is no deadlock.
SELECT id
FROM matches
WHERE (face_a_id, face_b_id) > ($1, $2)
    AND (face_a_id, face_b_id) <= ($3, $4)
    AND factor_embedding IS NOT NULL
    AND (
        weights IS DISTINCT FROM $5::jsonb
        OR match_score(
            factor_embedding, factor_geometry, factor_age, factor_symmetry, factor_skin_tone,
            factor_expression, $5::jsonb
        ) < $6
    )
FOR UPDATE SKIP LOCKED;

-- name: remove_weak_matches
-- Of the locked matches $1 those that by the weights $2 are below the threshold $3, unless they are in use. It is
-- a separate statement, so that it sees what was committed before they were locked.
WITH gone AS (
    DELETE FROM matches
    WHERE id = ANY($1::uuid[])
        AND match_score(
            factor_embedding, factor_geometry, factor_age, factor_symmetry, factor_skin_tone,
            factor_expression, $2::jsonb
        ) < $3
        AND NOT match_in_use(id)
    RETURNING 1
)
SELECT count(*) FROM gone;

-- name: rescore_matches
-- The locked matches $1 by the weights $2.
WITH changed AS (
    UPDATE matches
    SET similarity_score = match_score(
            factor_embedding, factor_geometry, factor_age, factor_symmetry, factor_skin_tone,
            factor_expression, $2::jsonb
        ),
        weights = $2::jsonb
    WHERE id = ANY($1::uuid[]) AND weights IS DISTINCT FROM $2::jsonb
    RETURNING 1
)
SELECT count(*) FROM changed;

-- name: survey_celebrity_matches
-- As survey_matches, for the rows that follow the face $1 and the celebrity $2; nothing depends on them.
WITH batch AS MATERIALIZED (
    SELECT
        face_id,
        celebrity_id,
        weights IS DISTINCT FROM $4::jsonb AS is_other,
        CASE WHEN factor_embedding IS NOT NULL THEN match_score(
            factor_embedding, factor_geometry, factor_age, factor_symmetry, factor_skin_tone,
            factor_expression, $4::jsonb
        ) END AS score
    FROM celebrity_matches
    WHERE (face_id, celebrity_id) > ($1, $2)
    ORDER BY face_id, celebrity_id
    LIMIT $3
)
SELECT
    count(*) AS rows,
    count(*) FILTER (WHERE is_other AND score >= $5) AS rescored,
    count(*) FILTER (WHERE score < $5) AS removed,
    0::bigint AS kept,
    count(*) FILTER (WHERE score IS NULL) AS without_factors,
    (array_agg(face_id ORDER BY face_id DESC, celebrity_id DESC))[1] AS last_a,
    (array_agg(celebrity_id ORDER BY face_id DESC, celebrity_id DESC))[1] AS last_b
FROM batch;

-- name: lock_due_celebrity_matches
-- As lock_due_matches.
SELECT id
FROM celebrity_matches
WHERE (face_id, celebrity_id) > ($1, $2)
    AND (face_id, celebrity_id) <= ($3, $4)
    AND factor_embedding IS NOT NULL
    AND (
        weights IS DISTINCT FROM $5::jsonb
        OR match_score(
            factor_embedding, factor_geometry, factor_age, factor_symmetry, factor_skin_tone,
            factor_expression, $5::jsonb
        ) < $6
    )
FOR UPDATE SKIP LOCKED;

-- name: remove_weak_celebrity_matches
WITH gone AS (
    DELETE FROM celebrity_matches
    WHERE id = ANY($1::uuid[])
        AND match_score(
            factor_embedding, factor_geometry, factor_age, factor_symmetry, factor_skin_tone,
            factor_expression, $2::jsonb
        ) < $3
    RETURNING 1
)
SELECT count(*) FROM gone;

-- name: rescore_celebrity_matches
WITH changed AS (
    UPDATE celebrity_matches
    SET similarity_score = match_score(
            factor_embedding, factor_geometry, factor_age, factor_symmetry, factor_skin_tone,
            factor_expression, $2::jsonb
        ),
        weights = $2::jsonb
    WHERE id = ANY($1::uuid[]) AND weights IS DISTINCT FROM $2::jsonb
    RETURNING 1
)
SELECT count(*) FROM changed;
