-- name: doubled_emails
SELECT count(*) FROM (
    SELECT FROM public.profiles WHERE email IS NOT NULL GROUP BY email HAVING count(*) > 1
) AS found;

-- name: has_old_app
-- Whether the two tables are there that everything in the old app begins with.
SELECT to_regclass('public.profiles') IS NOT NULL AND to_regclass('public.faces') IS NOT NULL;

-- name: is_adopting
SELECT to_regclass('semblance_adoption.old_tables') IS NOT NULL;

-- name: cron_jobs
-- What pg_cron runs in this database that names the old app's things.
SELECT jobid, coalesce(jobname, ''), schedule, command
FROM cron.job
WHERE command ~* 'match[-_]jobs?|match-generator|process-jobs|find_similar|celebrity_match';

-- name: column_dependents
-- Policies, views and triggers that name a column, by which they keep it from another type.
SELECT quote_ident(relname), quote_ident(attname), array_agg(pg_describe_object(classid, objid, objsubid))
FROM pg_depend
JOIN pg_class ON pg_class.oid = refobjid AND relnamespace = 'public'::regnamespace
JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
WHERE refclassid = 'pg_class'::regclass
    AND classid IN ('pg_policy'::regclass, 'pg_rewrite'::regclass, 'pg_trigger'::regclass)
GROUP BY 1, 2;
