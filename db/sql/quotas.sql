-- name: take_quota
-- Counts one more use of today, unless the limit is reached, and returns the day. A second transaction of the same user
-- waits for the row and counts from what the first has committed. Limits: -1 for none, 0 for blocked.
-- $1: profile, $2: kind, $3: key of the limit's setting.
WITH allowed AS (
    SELECT least(coalesce((SELECT value::numeric FROM system_settings WHERE key = $3), -1), 2147483647) AS limit
)
INSERT INTO user_daily_quotas AS used (profile_id, kind, count)
SELECT $1, $2, 1
FROM allowed
WHERE allowed.limit <> 0
ON CONFLICT (profile_id, day, kind) DO UPDATE
    SET count = used.count + 1
    WHERE (SELECT allowed.limit < 0 OR used.count < allowed.limit FROM allowed)
RETURNING day;

-- name: take_upload
-- As take_quota, for an upload of the user $1 with the limit $2, unless the user has the picture $3 already: known. The
-- commit does not wait for the disk. What the upload then stores waits and takes the count along, because the log is
-- written in order.
WITH allowed AS (
    SELECT least(coalesce((SELECT value::numeric FROM system_settings WHERE key = $2), -1), 2147483647) AS limit
),
picture AS (
    SELECT EXISTS (SELECT FROM faces WHERE profile_id = $1 AND image_hash = $3) AS known
),
counted AS (
    INSERT INTO user_daily_quotas AS used (profile_id, kind, count)
    SELECT $1, 'photo_upload', 1
    FROM allowed
    CROSS JOIN picture
    CROSS JOIN set_config('synchronous_commit', 'off', true) AS committed
    WHERE allowed.limit <> 0 AND NOT known
    ON CONFLICT (profile_id, day, kind) DO UPDATE
        SET count = used.count + 1
        WHERE (SELECT allowed.limit < 0 OR used.count < allowed.limit FROM allowed)
    RETURNING day
)
SELECT known, (SELECT day FROM counted) AS day FROM picture;

-- name: give_quota_back
-- $1: profile, $2: kind, $3: the day of the use.
UPDATE user_daily_quotas
SET count = count - 1
WHERE profile_id = $1 AND kind = $2 AND day = $3 AND count > 0;

-- name: quota_use
-- Today's limit and uses, and when the count restarts. Parameters as above.
WITH today AS (
    SELECT
        least(coalesce((SELECT value::numeric FROM system_settings WHERE key = $3), -1), 2147483647)::integer
            AS limit,
        coalesce((
            SELECT count
            FROM user_daily_quotas
            WHERE profile_id = $1 AND kind = $2 AND day = (now() AT TIME ZONE 'UTC')::date
        ), 0) AS current,
        (date_trunc('day', now() AT TIME ZONE 'UTC') + interval '1 day') AT TIME ZONE 'UTC' AS resets_at
)
SELECT
    today.limit,
    current,
    today.limit >= 0 AND current >= today.limit AS exhausted,
    resets_at,
    ceil(extract(epoch FROM resets_at - now()))::integer AS retry_after
FROM today;

-- name: prune_quotas
-- Of days longer ago than $1, at most $2 at a time.
WITH old AS (
    SELECT profile_id, day, kind
    FROM user_daily_quotas
    WHERE day < (now() AT TIME ZONE 'UTC' - $1::interval)::date
    ORDER BY day
    LIMIT $2
    FOR UPDATE SKIP LOCKED
),
gone AS (
    DELETE FROM user_daily_quotas AS used
    USING old
    WHERE (used.profile_id, used.day, used.kind) = (old.profile_id, old.day, old.kind)
    RETURNING 1
)
SELECT count(*) FROM gone;
