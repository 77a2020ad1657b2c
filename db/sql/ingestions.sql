-- name: create_ingestion
INSERT INTO ingestions (source, category, started_by)
VALUES ($1, $2, $3)
RETURNING id;

-- name: count_receiving_ingestions
SELECT count(*)
FROM ingestions
WHERE ray_job IS NULL;

-- name: abandon_ingestions
-- Uploads that were not started within a day, and those from before the clock was set back. Their files are removed like
-- other pictures without a row.
WITH old AS (
    SELECT id
    FROM ingestions
    WHERE ray_job IS NULL AND created_at NOT BETWEEN now() - interval '1 day' AND now() + interval '1 day'
    FOR UPDATE SKIP LOCKED
),
gone AS (
    DELETE FROM ingestion_files
    USING old
    WHERE ingestion_id = old.id
    RETURNING key
),
noted AS (
    INSERT INTO object_deletions (key)
    SELECT key FROM gone WHERE key IS NOT NULL ORDER BY key
    ON CONFLICT DO NOTHING
)
DELETE FROM ingestions
USING old
WHERE ingestions.id = old.id;

-- name: list_ingestions
-- The latest first, after the place $2, $3; one more than $4. $1: only this one.
SELECT
    ingestions.id, source, category, ingestions.started_by, ingestions.created_at, ingestions.ended_at, ray_job,
    ingestions.total, ingestions.done, taken, present, files, size, refused, waiting,
    CASE
        WHEN ingestions.ended_at IS NOT NULL AND refused > 0 THEN 'review'
        WHEN ingestions.ended_at IS NOT NULL THEN 'done'
        WHEN ray_job IS NULL THEN 'receiving'
        WHEN job.status IN ('pending', 'running') THEN 'running'
        ELSE 'failed'
    END AS state,
    job.message
FROM ingestions
LEFT JOIN ray_jobs AS job ON job.id = ray_job
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE place = 0 OR kind <> 'part') AS files, coalesce(sum(file.size), 0)::bigint AS size
    FROM ingestion_files AS file
    WHERE ingestion_id = ingestions.id
) AS uploaded
CROSS JOIN LATERAL (
    SELECT count(*) AS refused, count(decision) AS waiting
    FROM ingestion_refusals
    WHERE ingestion_id = ingestions.id AND settled_at IS NULL
) AS open
WHERE ($1::uuid IS NULL OR ingestions.id = $1)
    AND ($2::timestamptz IS NULL OR (ingestions.created_at, ingestions.id) < ($2, $3::uuid))
ORDER BY ingestions.created_at DESC, ingestions.id DESC
LIMIT $4 + 1;

-- name: lock_ingestion
-- Whether files may still be added, and whether a job has ended.
SELECT ray_job IS NULL AS receiving, ended_at IS NOT NULL AS ended
FROM ingestions
WHERE id = $1
FOR UPDATE;

-- name: room_of_ingestion
-- How many files there are, and how many bytes, besides what comes again.
SELECT count(*) AS files, coalesce(sum(size), 0)::bigint AS size
FROM ingestion_files
WHERE ingestion_id = $1 AND NOT (number = $2 AND place = $3);

-- name: get_ingestion_file
SELECT key
FROM ingestion_files
WHERE ingestion_id = $1 AND number = $2 AND kind = $3 AND place = $4;

-- name: add_ingestion_file
INSERT INTO ingestion_files (ingestion_id, number, kind, place, path, size, key, parts)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (ingestion_id, number, kind, place) DO UPDATE
SET path = excluded.path, size = excluded.size, key = excluded.key, parts = excluded.parts;

-- name: incomplete_archive
-- The name of an archive that lacks parts.
SELECT min(path)
FROM ingestion_files
WHERE ingestion_id = $1 AND kind = 'part'
GROUP BY number
HAVING count(*) <> max(parts) OR min(parts) <> max(parts)
LIMIT 1;

-- name: claim_ingestion
-- By the job $2, which is about to be submitted, unless another works on it. After lock_ingestion.
UPDATE ingestions
SET ray_job = $2, ended_at = NULL
WHERE id = $1
    AND (
        ended_at IS NOT NULL
        OR NOT EXISTS (
            SELECT FROM ray_jobs WHERE id = ingestions.ray_job AND status IN ('pending', 'running')
        )
    )
RETURNING id;

-- name: ingestions_to_continue
-- Those whose job failed, and those with decisions that no job carries out; one that an operator stopped waits. Each is
-- tried $1 times a day, first $2 after the job ended, and four times as long after each job that ended the same way. What
-- ended in the future did so before the clock was set back.
SELECT ingestions.id
FROM ingestions
JOIN ray_jobs AS last ON last.id = ingestions.ray_job
CROSS JOIN LATERAL (
    SELECT count(*) AS number
    FROM ray_jobs
    WHERE started_by = 'service'
        AND arguments[cardinality(arguments)] = 'ingestion:' || ingestions.id
        AND created_at BETWEEN now() - interval '1 day' AND now() + interval '1 day'
) AS tried
WHERE (
        (ingestions.ended_at IS NULL AND last.status = 'failed')
        OR (
            ingestions.ended_at IS NOT NULL
            AND last.ended_at IS NOT NULL
            AND EXISTS (
                SELECT FROM ingestion_refusals
                WHERE ingestion_id = ingestions.id AND settled_at IS NULL AND decision IS NOT NULL
            )
        )
    )
    AND tried.number < $1
    AND (last.ended_at + $2::interval * 4 ^ tried.number <= now() OR last.ended_at > now() + interval '1 day')
ORDER BY last.ended_at;

-- name: begin_ingestion
-- By its job.
UPDATE ingestions
SET ended_at = NULL
WHERE id = $1
RETURNING source, category, listed_at IS NOT NULL AS listed, taken, present;

-- name: ingestion_files
SELECT number, kind, place, path, size, key, outcome, reason
FROM ingestion_files
WHERE ingestion_id = $1
ORDER BY number, kind, place;

-- name: add_ingestion_members
-- Of the archive $2 of the ingestion $1.
INSERT INTO ingestion_files (ingestion_id, number, kind, place, path, size, key, outcome, reason)
SELECT $1, $2, 'member', place, path, size, key, outcome, reason
FROM unnest($3::integer[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[])
    AS given (place, path, size, key, outcome, reason)
ON CONFLICT DO NOTHING;

-- name: remove_ingestion_parts
-- Of the archive $2 of the ingestion $1, whose members are stored.
WITH gone AS (
    DELETE FROM ingestion_files
    WHERE ingestion_id = $1 AND number = $2 AND kind = 'part'
    RETURNING key
)
INSERT INTO object_deletions (key)
SELECT key FROM gone ORDER BY key
ON CONFLICT DO NOTHING;

-- name: set_ingestion_total
UPDATE ingestions
SET total = $2, done = 0, present = 0
WHERE id = $1;

-- name: set_ingestion_listed
UPDATE ingestions
SET listed_at = now()
WHERE id = $1;

-- name: record_ingestion
UPDATE ingestions
SET done = coalesce($2, done), taken = $3, present = coalesce($4, present)
WHERE id = $1;

-- name: record_ingestion_refusals
-- A picture that was discarded meanwhile stays so.
INSERT INTO ingestion_refusals (id, ingestion_id, label, item, outcome, reason)
SELECT id, $1, label, item, outcome, reason
FROM unnest($2::uuid[], $3::text[], $4::jsonb[], $5::text[], $6::text[])
    AS given (id, label, item, outcome, reason)
ON CONFLICT (id) DO UPDATE
SET item = excluded.item, outcome = excluded.outcome, reason = excluded.reason, decision = NULL
WHERE ingestion_refusals.settled_at IS NULL;

-- name: settle_ingestion_refusals
UPDATE ingestion_refusals
SET settled_at = now()
WHERE id = ANY($1) AND settled_at IS NULL;

-- name: decided_ingestion_refusals
SELECT label, item, decision
FROM ingestion_refusals
WHERE ingestion_id = $1 AND settled_at IS NULL AND decision IS NOT NULL
ORDER BY created_at, id;

-- name: end_ingestion
-- Unless something was decided meanwhile. After lock_ingestion.
UPDATE ingestions
SET ended_at = now(), listed_at = coalesce(listed_at, now())
WHERE id = $1
    AND NOT EXISTS (
        SELECT FROM ingestion_refusals
        WHERE ingestion_id = ingestions.id AND settled_at IS NULL AND decision IS NOT NULL
    )
RETURNING id;

-- name: release_ingestion_files
-- Files of an ingestion that has ended which no open refusal needs. They are removed like other pictures without a
-- row.
WITH gone AS (
    DELETE FROM ingestion_files
    WHERE ingestion_id = $1
        AND EXISTS (SELECT FROM ingestions WHERE id = $1 AND ended_at IS NOT NULL)
        AND NOT EXISTS (
            SELECT FROM ingestion_refusals
            WHERE ingestion_id = $1 AND settled_at IS NULL AND item ->> 'location' = 'staged:' || ingestion_files.key
        )
    RETURNING key
)
INSERT INTO object_deletions (key)
SELECT key FROM gone WHERE key IS NOT NULL ORDER BY key
ON CONFLICT DO NOTHING;

-- name: list_ingestion_refusals
-- Those that are open, in the order in which they came, after the place $3, $4; one more than $5. $2: only of this
-- outcome.
SELECT id, label, item, outcome, reason, decision, created_at
FROM ingestion_refusals
WHERE ingestion_id = $1
    AND settled_at IS NULL
    AND ($2::text IS NULL OR outcome = $2)
    AND ($3::timestamptz IS NULL OR (created_at, id) > ($3, $4::uuid))
ORDER BY created_at, id
LIMIT $5 + 1;

-- name: count_ingestion_refusals
SELECT outcome, count(*) AS number
FROM ingestion_refusals
WHERE ingestion_id = $1 AND settled_at IS NULL
GROUP BY outcome
ORDER BY outcome;

-- name: get_ingestion_refusal
SELECT id, label, item, outcome, reason, decision, created_at
FROM ingestion_refusals
WHERE ingestion_id = $1 AND id = $2 AND settled_at IS NULL;

-- name: decide_ingestion_refusals
-- $2: the decision, which suits the outcomes $3; $4: only these, $5: only of this outcome. After lock_ingestion.
WITH decided AS (
    UPDATE ingestion_refusals
    SET decision = $2, settled_at = CASE WHEN $2 = 'discard' THEN now() END
    WHERE ingestion_id = $1
        AND settled_at IS NULL
        AND ($2 = 'discard' OR (item IS NOT NULL AND outcome = ANY($3::text[])))
        AND ($4::uuid[] IS NULL OR id = ANY($4))
        AND ($5::text IS NULL OR outcome = $5)
    RETURNING 1
)
SELECT count(*) FROM decided;

-- name: discard_ingestion
-- After lock_ingestion, when no job works on it.
WITH settled AS (
    UPDATE ingestion_refusals
    SET decision = 'discard', settled_at = now()
    WHERE ingestion_id = $1 AND settled_at IS NULL
)
UPDATE ingestions
SET ended_at = coalesce(ended_at, now())
WHERE id = $1;

-- name: remove_ingestion
DELETE FROM ingestions
WHERE id = $1;
