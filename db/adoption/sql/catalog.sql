-- What a schema consists of. Names come quoted where SQL needs it. Objects of extensions are not ours, and
-- alembic_version belongs to the migrations.

-- name: relations
SELECT
    quote_ident(relname) AS name,
    relkind::text AS kind,
    c.oid::bigint AS number,
    relrowsecurity AS row_security,
    relforcerowsecurity AS forces_row_security,
    pg_has_role(relowner, 'USAGE') AS is_own,
    coalesce(array_to_string(ARRAY(SELECT unnest(reloptions) ORDER BY 1), ', '), '') AS options,
    CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) ELSE '' END AS definition,
    (
        SELECT quote_ident(owner.relname) || '.' || quote_ident(attname)
        FROM pg_depend
        JOIN pg_class AS owner ON owner.oid = refobjid
        JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
        WHERE c.relkind = 'S' AND classid = 'pg_class'::regclass AND objid = c.oid
            AND refclassid = 'pg_class'::regclass AND deptype IN ('a', 'i')
    ) AS owned_by,
    EXISTS (
        SELECT FROM pg_depend
        WHERE c.relkind = 'S' AND classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'i'
    ) AS is_identity
FROM pg_class AS c
WHERE relnamespace = 'public'::regnamespace
    AND relkind IN ('r', 'p', 'v', 'm', 'S')
    AND relname NOT LIKE 'alembic_version%'
    AND NOT EXISTS (
        SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e'
    )
ORDER BY c.oid;

-- name: columns
SELECT
    quote_ident(relname) AS "table",
    quote_ident(attname) AS name,
    format_type(atttypid, atttypmod) AS type,
    typcategory::text AS category,
    CASE WHEN attgenerated = '' THEN pg_get_expr(adbin, adrelid) END AS "default",
    CASE WHEN attgenerated = 's' THEN pg_get_expr(adbin, adrelid) END AS generated,
    attnotnull AS not_null,
    attstorage::text AS storage,
    typstorage::text AS type_storage,
    attidentity::text AS identity
FROM pg_attribute
JOIN pg_class AS c ON c.oid = attrelid
JOIN pg_type ON pg_type.oid = atttypid
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
    AND relname NOT LIKE 'alembic_version%'
ORDER BY c.oid, attnum;

-- name: constraints
-- expression: of a CHECK, by its columns' names.
SELECT
    quote_ident(relname) AS "table",
    quote_ident(conname) AS name,
    contype::text AS kind,
    regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', '') AS definition,
    coalesce(pg_get_expr(conbin, conrelid), '') AS expression,
    ARRAY(
        SELECT quote_ident(attname)::text
        FROM unnest(conkey) WITH ORDINALITY AS key (number, place)
        JOIN pg_attribute ON attrelid = conrelid AND attnum = number
        ORDER BY place
    ) AS columns,
    coalesce(quote_ident((SELECT f.relname FROM pg_class AS f WHERE f.oid = confrelid)), '') AS refers_to,
    convalidated AS validated
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = conrelid
WHERE relnamespace = 'public'::regnamespace AND contype IN ('p', 'u', 'f', 'c')
    AND relname NOT LIKE 'alembic_version%'
ORDER BY k.oid;

-- name: indexes
-- Those that belong to no constraint. definition: without the index's own name.
SELECT
    quote_ident(t.relname) AS "table",
    quote_ident(c.relname) AS name,
    regexp_replace(pg_get_indexdef(indexrelid), '^(CREATE (?:UNIQUE )?INDEX) .+? ON ', '\1 ON ') AS definition,
    indisunique AS is_unique,
    indisvalid AS valid,
    ARRAY(
        SELECT quote_ident(attname)::text
        FROM unnest(indkey) WITH ORDINALITY AS key (number, place)
        JOIN pg_attribute ON attrelid = indrelid AND attnum = number
        ORDER BY place
    ) AS columns
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = indexrelid
JOIN pg_class AS t ON t.oid = indrelid
WHERE c.relnamespace = 'public'::regnamespace AND t.relkind IN ('r', 'p')
    AND t.relname NOT LIKE 'alembic_version%'
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x'))
ORDER BY indexrelid;

-- name: triggers
-- Of the tables of public, and those of auth.users that call a function of public.
SELECT
    c.oid::regclass::text AS "table",
    quote_ident(tgname) AS name,
    pg_get_triggerdef(t.oid) AS definition,
    f.oid::regprocedure::text AS function,
    f.prosrc AS source
FROM pg_trigger AS t
JOIN pg_class AS c ON c.oid = tgrelid
JOIN pg_proc AS f ON f.oid = tgfoid
WHERE NOT tgisinternal AND (
    c.relnamespace = 'public'::regnamespace
    OR (f.pronamespace = 'public'::regnamespace AND c.oid = to_regclass('auth.users'))
)
ORDER BY t.oid;

-- name: functions
SELECT
    p.oid::regprocedure::text AS signature,
    quote_ident(proname) AS name,
    pg_get_functiondef(p.oid) AS definition,
    pg_get_function_result(p.oid) AS result,
    pg_get_function_arguments(p.oid) AS arguments,
    prorettype = 'trigger'::regtype AS is_trigger,
    p.oid::bigint AS number
FROM pg_proc AS p
WHERE pronamespace = 'public'::regnamespace AND prokind = 'f'
    AND NOT EXISTS (
        SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e'
    )
ORDER BY p.oid;

-- name: policies
SELECT
    quote_ident(tablename) AS "table",
    quote_ident(policyname) AS name,
    ARRAY(SELECT role::text FROM unnest(roles) AS role ORDER BY 1) AS roles,
    permissive = 'RESTRICTIVE' AS restricts,
    format(
        'CREATE POLICY %I ON %I AS %s FOR %s TO %s%s%s',
        policyname, tablename, permissive, cmd,
        (SELECT string_agg(CASE role WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(role) END, ', ' ORDER BY role)
            FROM unnest(roles) AS role),
        ' USING (' || qual || ')',
        ' WITH CHECK (' || with_check || ')'
    ) AS definition
FROM pg_policies
WHERE schemaname = 'public' AND tablename NOT LIKE 'alembic_version%'
ORDER BY 1, 2;

-- name: grants
-- What the roles of the schema may: semblance_service, authenticated, anon and everybody.
SELECT kind, name, "column", coalesce(quote_ident(rolname), 'PUBLIC') AS grantee, privilege_type AS privilege
FROM (
    SELECT 'TABLE' AS kind, relname::text AS name, NULL::text AS "column", item.*
    FROM pg_class, aclexplode(coalesce(relacl, acldefault('r', relowner))) AS item
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
    UNION ALL
    SELECT 'SEQUENCE', relname::text, NULL, item.*
    FROM pg_class, aclexplode(coalesce(relacl, acldefault('s', relowner))) AS item
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'
    UNION ALL
    SELECT 'TABLE', relname::text, quote_ident(attname), item.*
    FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid, aclexplode(attacl) AS item
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm') AND NOT attisdropped
    UNION ALL
    SELECT 'FUNCTION', pg_proc.oid::regprocedure::text, NULL, item.*
    FROM pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) AS item
    WHERE pronamespace = 'public'::regnamespace AND prokind = 'f' AND NOT EXISTS (
        SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e'
    )
    UNION ALL
    SELECT 'SCHEMA', nspname::text, NULL, item.*
    FROM pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) AS item
    WHERE nspname = 'public'
) AS given
LEFT JOIN pg_roles ON pg_roles.oid = grantee
WHERE grantee = 0 OR rolname IN ('semblance_service', 'authenticated', 'anon');

-- name: search_path
SELECT set_config(
    'search_path',
    concat_ws(', ', 'public', (
        SELECT quote_ident(nspname)
        FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
        WHERE extname = 'vector'
    )),
    NOT %(session)s::boolean
);

-- name: bridges
-- The bodies of the adoption's trigger functions by name.
SELECT proname::text AS name, prosrc AS source
FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace
WHERE nspname = 'semblance_adoption';
