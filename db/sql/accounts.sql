-- name: find_accounts
-- Parameters and order as of the function of this name, with what each used of today's limits.
SELECT account.*, used.uploads_today, used.generations_today
FROM find_accounts($1, $2, $3, $4, $5, $6, $7) AS account
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(count) FILTER (WHERE kind = 'photo_upload'), 0)::integer AS uploads_today,
        coalesce(sum(count) FILTER (WHERE kind = 'baby_generation'), 0)::integer AS generations_today
    FROM user_daily_quotas
    WHERE profile_id = account.id AND day = (now() AT TIME ZONE 'UTC')::date
) AS used
ORDER BY account.created_at DESC, account.id DESC;

-- name: change_role
SELECT change_role($1, $2);

-- name: change_block
SELECT change_block($1, $2);

-- name: delete_account
SELECT delete_account($1);
