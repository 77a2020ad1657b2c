-- Lists find ids by the index with their order. A second statement loads the rows by id; its plan suits any list
-- and any user, so that the server plans it once per connection.

-- name: list_feed
-- The newest matches with the count, also for an empty page (then with nulls). $1: only those
-- of the last 5 minutes, $2 and $3: time and id of the last one seen, $4: limit, $5: how many to skip.
SELECT counted.total, page.id, page.created_at
FROM (
    SELECT CASE
        WHEN $1 THEN (SELECT count(*) FROM matches WHERE created_at >= now() - interval '5 minutes')
        ELSE (SELECT coalesce(sum(count), 0)::bigint FROM match_counts)
    END AS total
) AS counted
LEFT JOIN (
    SELECT id, created_at
    FROM matches
    WHERE created_at >= CASE WHEN $1 THEN now() - interval '5 minutes' ELSE '-infinity' END
        AND (created_at, id) < (
            coalesce($2, 'infinity'::timestamptz),
            coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
        )
    ORDER BY created_at DESC, id DESC
    LIMIT $4 OFFSET $5
) AS page ON true
ORDER BY page.created_at DESC, page.id DESC;

-- name: list_best_feed
-- As list_feed, best first. $1 and $2: score and id of the last one seen, $3: limit, $4: how
-- many to pass over.
SELECT counted.total, page.id, page.similarity_score
FROM (SELECT coalesce(sum(count), 0)::bigint AS total FROM match_counts) AS counted
LEFT JOIN (
    SELECT id, similarity_score
    FROM matches
    WHERE (similarity_score, id) < (
        coalesce($1, 'infinity'::float8),
        coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
    )
    ORDER BY similarity_score DESC, id DESC
    LIMIT $3 OFFSET $4
) AS page ON true
ORDER BY page.similarity_score DESC, page.id DESC;

-- name: list_best_new_matches
-- As list_best_feed, of the matches of the last 5 minutes.
WITH new AS MATERIALIZED (
    SELECT id, similarity_score FROM matches WHERE created_at >= now() - interval '5 minutes'
),
page AS (
    SELECT id, similarity_score
    FROM new
    WHERE (similarity_score, id) < (
        coalesce($1, 'infinity'::float8),
        coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
    )
    ORDER BY similarity_score DESC, id DESC
    LIMIT $3 OFFSET $4
)
SELECT counted.total, page.id, page.similarity_score
FROM (SELECT count(*) AS total FROM new) AS counted
LEFT JOIN page ON true
ORDER BY page.similarity_score DESC, page.id DESC;

-- name: list_reacted_matches
-- As list_feed, of the matches to which the user $1 has the reaction $2.
WITH reacted AS (
    SELECT matches.id, matches.created_at
    FROM reactions
    JOIN matches ON matches.id = match_id
    WHERE user_profile_id = $1 AND reaction_type = $2
),
page AS (
    SELECT id, created_at
    FROM reacted
    WHERE (created_at, id) < (
        coalesce($3, 'infinity'::timestamptz),
        coalesce($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
    )
    ORDER BY created_at DESC, id DESC
    LIMIT $5 OFFSET $6
)
SELECT counted.total, page.id, page.created_at
FROM (SELECT count(*) AS total FROM reacted) AS counted
LEFT JOIN page ON true
ORDER BY page.created_at DESC, page.id DESC;

-- name: list_best_reacted_matches
-- The same, best first.
WITH reacted AS (
    SELECT matches.id, similarity_score
    FROM reactions
    JOIN matches ON matches.id = match_id
    WHERE user_profile_id = $1 AND reaction_type = $2
),
page AS (
    SELECT id, similarity_score
    FROM reacted
    WHERE (similarity_score, id) < (
        coalesce($3, 'infinity'::float8),
        coalesce($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
    )
    ORDER BY similarity_score DESC, id DESC
    LIMIT $5 OFFSET $6
)
SELECT counted.total, page.id, page.similarity_score
FROM (SELECT count(*) AS total FROM reacted) AS counted
LEFT JOIN page ON true
ORDER BY page.similarity_score DESC, page.id DESC;

-- name: list_matches_of_user
-- As list_feed, of the matches of all faces of the user $1.
WITH mine AS (
    SELECT matches.id, matches.created_at
    FROM faces
    JOIN matches ON face_a_id = faces.id
    WHERE faces.profile_id = $1
    UNION
    SELECT matches.id, matches.created_at
    FROM faces
    JOIN matches ON face_b_id = faces.id
    WHERE faces.profile_id = $1
),
page AS (
    SELECT id, created_at
    FROM mine
    WHERE (created_at, id) < (
        coalesce($2, 'infinity'::timestamptz),
        coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
    )
    ORDER BY created_at DESC, id DESC
    LIMIT $4 OFFSET $5
)
SELECT counted.total, page.id, page.created_at
FROM (SELECT count(*) AS total FROM mine) AS counted
LEFT JOIN page ON true
ORDER BY page.created_at DESC, page.id DESC;

-- name: list_matches_of_face
-- The best match of the face $1 with each other user, best first, with their number. $2 and $3: score and id
-- of the last one seen, $4: limit, $5: how many to skip.
WITH candidates AS (
    SELECT id, similarity_score, face_b_id AS other_face_id
    FROM matches
    WHERE face_a_id = $1
    UNION ALL
    SELECT id, similarity_score, face_a_id
    FROM matches
    WHERE face_b_id = $1
),
best AS (
    SELECT DISTINCT ON (faces.profile_id) candidates.id, candidates.similarity_score
    FROM candidates
    JOIN faces ON faces.id = other_face_id
    ORDER BY faces.profile_id, candidates.similarity_score DESC, candidates.id DESC
),
page AS (
    SELECT id, similarity_score
    FROM best
    WHERE (similarity_score, id) < (
        coalesce($2, 'infinity'::float8),
        coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
    )
    ORDER BY similarity_score DESC, id DESC
    LIMIT $4 OFFSET $5
)
SELECT counted.total, page.id, page.similarity_score
FROM (SELECT count(*) AS total FROM best) AS counted
LEFT JOIN page ON true
ORDER BY page.similarity_score DESC, page.id DESC;

-- name: load_matches
-- The matches $1 with the reactions of the user $2, if any. Users see the presence of people, except between two of
-- whom one has blocked the other.
WITH viewer AS MATERIALIZED (SELECT blocked_profiles($2) AS blocked)
SELECT
    match.id,
    match.similarity_score,
    match.created_at,
    match.factor_embedding,
    match.factor_geometry,
    match.factor_age,
    match.factor_symmetry,
    match.factor_skin_tone,
    match.factor_expression,
    match.pack_digest,
    ARRAY(
        SELECT reaction_type
        FROM reactions
        WHERE match_id = match.id AND user_profile_id = $2
        ORDER BY reaction_type
    ) AS my_reaction,
    face_a.id AS a_face_id,
    face_a.image_path AS a_image_path,
    a.id AS a_id,
    a.name AS a_name,
    a.gender AS a_gender,
    a.school AS a_school,
    CASE WHEN a.id <> ALL (blocked) THEN a.online END AS a_online,
    CASE WHEN a.id <> ALL (blocked) THEN a.last_seen END AS a_last_seen,
    face_b.id AS b_face_id,
    face_b.image_path AS b_image_path,
    b.id AS b_id,
    b.name AS b_name,
    b.gender AS b_gender,
    b.school AS b_school,
    CASE WHEN b.id <> ALL (blocked) THEN b.online END AS b_online,
    CASE WHEN b.id <> ALL (blocked) THEN b.last_seen END AS b_last_seen
FROM matches AS match
CROSS JOIN viewer
JOIN faces AS face_a ON face_a.id = match.face_a_id
JOIN faces AS face_b ON face_b.id = match.face_b_id
JOIN profiles AS a ON a.id = face_a.profile_id
JOIN profiles AS b ON b.id = face_b.profile_id
WHERE match.id = ANY($1::uuid[]);

-- name: match_stats
-- $1: user, or null. Active: connected now, or seen in the last 15 minutes.
SELECT
    (SELECT coalesce(sum(count), 0)::bigint FROM match_counts) AS total,
    CASE WHEN $1::uuid IS NOT NULL THEN (
        SELECT count(*) FROM reactions WHERE user_profile_id = $1 AND reaction_type = 'viewed'
    ) END AS viewed,
    (
        SELECT count(*)
        FROM profiles
        WHERE profile_type = 'user' AND (online OR last_seen >= now() - interval '15 minutes')
    ) AS active_users;

-- name: owner_of_face
SELECT profile_id
FROM faces
WHERE id = $1;

-- name: list_celebrity_matches
-- The saved celebrity matches of the face $1, best first and each person once, with their number, also for an empty
-- page (then with nulls). $2 and $3: score and id of the last one seen, $4: limit.
WITH best AS MATERIALIZED (
    SELECT DISTINCT ON (coalesce(celebrity.person_id, celebrity.id)) match.id, match.similarity_score
    FROM celebrity_matches AS match
    JOIN celebrities AS celebrity ON celebrity.id = match.celebrity_id
    WHERE match.face_id = $1
    ORDER BY coalesce(celebrity.person_id, celebrity.id), match.similarity_score DESC, match.id DESC
),
page AS (
    SELECT *
    FROM best
    WHERE (similarity_score, id) < (
        coalesce($2, 'infinity'::float8),
        coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
    )
    ORDER BY similarity_score DESC, id DESC
    LIMIT $4
),
shown AS (
    SELECT
        match.id,
        match.similarity_score,
        match.factor_embedding,
        match.factor_geometry,
        match.factor_age,
        match.factor_symmetry,
        match.factor_skin_tone,
        match.factor_expression,
        match.pack_digest,
        celebrity.id AS celebrity_id,
        celebrity.name,
        celebrity.bio,
        celebrity.category,
        known_gender(celebrity.gender, celebrity.seen_gender) AS gender,
        celebrity.image_path
    FROM page
    JOIN celebrity_matches AS match USING (id)
    JOIN faces AS face ON face.id = match.face_id
    JOIN celebrities AS celebrity ON celebrity.id = match.celebrity_id
)
SELECT counted.total, shown.*
FROM (SELECT count(*) AS total FROM best) AS counted
LEFT JOIN shown ON true
ORDER BY shown.similarity_score DESC, shown.id DESC;

-- name: add_reaction
-- $1: match, $2: user, $3: reaction. Locks the match until the reaction is stored. Adds nothing if the user
-- has this reaction already. created_at is the time of the statement, because the transaction may have waited.
WITH match AS (
    SELECT id FROM matches WHERE id = $1 FOR KEY SHARE
),
added AS (
    INSERT INTO reactions (match_id, user_profile_id, reaction_type, created_at)
    SELECT id, $2, $3, clock_timestamp()
    FROM match
    ON CONFLICT (match_id, user_profile_id, reaction_type) DO NOTHING
    RETURNING id, created_at
)
SELECT EXISTS (SELECT FROM match) AS found, added.id, added.created_at
FROM (VALUES (true)) AS always
LEFT JOIN added ON true;

-- name: list_reactions
-- The reactions of the user $2 to the match $1; one row with nulls without any, no row without the match.
SELECT reactions.id, reactions.reaction_type, reactions.created_at
FROM matches
LEFT JOIN reactions ON reactions.match_id = matches.id AND reactions.user_profile_id = $2
WHERE matches.id = $1
ORDER BY reactions.created_at, reactions.id;

-- name: remove_reactions
-- $1: match, $2: user, $3: reaction, or null for all.
DELETE FROM reactions
WHERE match_id = $1 AND user_profile_id = $2 AND ($3::text IS NULL OR reaction_type = $3);
