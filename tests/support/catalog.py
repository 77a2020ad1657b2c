"""All that a schema consists of, as text, so that two databases can be compared."""

from __future__ import annotations

import psycopg

_OURS = "nspname IN ('public', 'auth')"
_NOT_VERSIONS = "relname NOT LIKE 'alembic_version%'"


def _acl(column: str, kind: str, owner: str) -> str:
    """Privileges sorted, and written out also where they have never been changed."""
    acl = f"coalesce({column}, acldefault({kind}, {owner}))"
    return f"ARRAY(SELECT item::text FROM unnest({acl}) AS item ORDER BY 1)"


_SCHEMA_ACL = _acl("nspacl", "'n'", "nspowner")
_TABLE_ACL = _acl("relacl", "CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\"", "relowner")
_FUNCTION_ACL = _acl("proacl", "'f'", "proowner")

_QUERIES = {
    "schemas": f"SELECT nspname, {_SCHEMA_ACL} FROM pg_namespace WHERE {_OURS}",
    "extensions": "SELECT extname FROM pg_extension",
    "tables": f"""
        SELECT nspname, relname, relkind, relpersistence, relrowsecurity, relforcerowsecurity, reloptions,
            {_TABLE_ACL}, obj_description(c.oid)
        FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE {_OURS} AND relkind IN ('r', 'v', 'm', 'S') AND {_NOT_VERSIONS}
    """,
    "columns": f"""
        SELECT relname, attnum, attname, format_type(atttypid, atttypmod), attnotnull, attstorage,
            attcompression, attidentity, attgenerated, pg_get_expr(adbin, adrelid),
            ARRAY(SELECT item::text FROM unnest(attacl) AS item ORDER BY 1)
        FROM pg_attribute a
        JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace
        LEFT JOIN pg_attrdef d ON adrelid = attrelid AND adnum = attnum
        WHERE {_OURS} AND relkind = 'r' AND attnum > 0 AND NOT attisdropped AND {_NOT_VERSIONS}
    """,
    "constraints": f"""
        SELECT relname, conname, pg_get_constraintdef(k.oid), convalidated
        FROM pg_constraint k
        JOIN pg_class c ON c.oid = conrelid JOIN pg_namespace n ON n.oid = relnamespace
        WHERE {_OURS} AND {_NOT_VERSIONS}
    """,
    "indexes": f"""
        SELECT pg_get_indexdef(indexrelid), indisvalid
        FROM pg_index i JOIN pg_class c ON c.oid = indrelid JOIN pg_namespace n ON n.oid = relnamespace
        WHERE {_OURS} AND {_NOT_VERSIONS}
    """,
    "triggers": f"""
        SELECT pg_get_triggerdef(t.oid), tgenabled
        FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid JOIN pg_namespace n ON n.oid = relnamespace
        WHERE {_OURS} AND NOT tgisinternal
    """,
    "functions": f"""
        SELECT pg_get_functiondef(p.oid), {_FUNCTION_ACL}, obj_description(p.oid)
        FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
        WHERE {_OURS}
            AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')
    """,
    "policies": """
        SELECT tablename, policyname, permissive, roles::text, cmd, qual, with_check FROM pg_policies
    """,
    "settings": "SELECT key, value::text, description, updated_by FROM public.system_settings",
}


def snapshot(dsn: str) -> dict[str, list[tuple[object, ...]]]:
    """Rows per kind of object, sorted, without names of what only migrations need."""
    with psycopg.connect(dsn) as connection:
        migrated = connection.execute("SELECT to_regclass('public.system_settings')").fetchone() != (None,)
        return {
            kind: sorted(connection.execute(query).fetchall(), key=repr)
            for kind, query in _QUERIES.items()
            if kind != "settings" or migrated
        }
