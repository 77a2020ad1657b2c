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

-- name: other_names
-- What has a name in public by which no table can be made.
SELECT quote_ident(relname) AS name, pg_describe_object('pg_class'::regclass, oid, 0) AS what
FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind NOT IN ('r', 'p')
UNION ALL
SELECT quote_ident(typname), pg_describe_object('pg_type'::regclass, oid, 0)
FROM pg_type
WHERE typnamespace = 'public'::regnamespace AND typrelid = 0 AND typelem = 0;

-- name: dependents
-- What needs a column, table or function of public (target), whose it is (the table of a policy, trigger, default
-- or constraint) and in words. A default is that of a stored column.
SELECT
    CASE refclassid
        WHEN 'pg_class'::regclass THEN refobjid::regclass::text ELSE refobjid::regprocedure::text
    END AS target,
    coalesce(quote_ident(used.attname), '') AS "column",
    classid::regclass::text AS kind,
    coalesce(
        (SELECT polrelid FROM pg_policy WHERE oid = objid AND classid = 'pg_policy'::regclass),
        (SELECT tgrelid FROM pg_trigger WHERE oid = objid AND classid = 'pg_trigger'::regclass),
        (SELECT adrelid FROM pg_attrdef WHERE oid = objid AND classid = 'pg_attrdef'::regclass),
        (SELECT conrelid FROM pg_constraint WHERE oid = objid AND classid = 'pg_constraint'::regclass)
    )::regclass::text AS "on",
    (
        SELECT quote_ident(attname) FROM pg_attrdef
        JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
        WHERE pg_attrdef.oid = objid AND classid = 'pg_attrdef'::regclass
    ) AS on_column,
    pg_describe_object(classid, objid, objsubid) AS what
FROM pg_depend
LEFT JOIN pg_attribute AS used
    ON refclassid = 'pg_class'::regclass AND attrelid = refobjid AND attnum = refobjsubid AND attnum > 0
WHERE (
        refclassid = 'pg_class'::regclass
        AND EXISTS (
            SELECT FROM pg_class
            WHERE oid = refobjid AND relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
        )
        OR refclassid = 'pg_proc'::regclass
        AND EXISTS (SELECT FROM pg_proc WHERE oid = refobjid AND pronamespace = 'public'::regnamespace)
    )
    AND deptype IN ('n', 'a')
    AND CASE classid
        WHEN 'pg_attrdef'::regclass THEN deptype = 'n' OR (
            SELECT (adrelid, adnum) <> (refobjid, refobjsubid) FROM pg_attrdef WHERE oid = objid
        )
        WHEN 'pg_constraint'::regclass THEN (SELECT conrelid <> refobjid FROM pg_constraint WHERE oid = objid)
        ELSE classid IN (
            'pg_policy'::regclass, 'pg_rewrite'::regclass, 'pg_trigger'::regclass, 'pg_proc'::regclass,
            'pg_publication_rel'::regclass
        )
    END;
