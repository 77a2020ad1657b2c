"""Builds statements from the catalog's definitions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from db.adoption.catalog import Catalog, Column, Function, Grant, Relation

OUTSIDERS = "PUBLIC, authenticated, anon"
_IDENTITY = {"a": "ALWAYS", "d": "BY DEFAULT"}


def column(target: Column, *, nullable: bool = False) -> str:
    """The definition for CREATE TABLE and ADD COLUMN."""
    parts = [target.name, target.type]
    if target.identity:
        parts.append(f"GENERATED {_IDENTITY[target.identity]} AS IDENTITY")
    if target.generated is not None:
        parts.append(f"GENERATED ALWAYS AS ({target.generated}) STORED")
    if target.default is not None:
        parts.append(f"DEFAULT {target.default}")
    if target.not_null and not nullable:
        parts.append("NOT NULL")
    return " ".join(parts)


def converted(was: Column, target: Column) -> str:
    """The value of a column, converted to the new type."""
    is_utc = was.type == "timestamp without time zone" and target.type == "timestamp with time zone"
    value = f"{was.name} AT TIME ZONE 'UTC'" if is_utc else was.name
    return f"({value})::{target.type}"


def set_storage(target: Column) -> str:
    """A separate statement, because CREATE TABLE takes STORAGE only since PostgreSQL 16."""
    names = {"p": "PLAIN", "e": "EXTERNAL", "x": "EXTENDED", "m": "MAIN"}
    return f"ALTER TABLE {target.table} ALTER COLUMN {target.name} SET STORAGE {names[target.storage]}"


def create_table(table: Relation, target: Catalog) -> list[str]:
    """Statements that create a table, without what needs other tables or later functions: indexes, foreign
    keys, triggers and policies."""
    columns = target.columns[table.name].values()
    constraints = target.constraints.get(table.name, {}).values()
    parts = [column(each) for each in columns]
    parts += [f"CONSTRAINT {each.name} {each.definition}" for each in constraints if each.kind != "f"]
    options = f" WITH ({table.options})" if table.options else ""
    statements = [f"CREATE TABLE {table.name} ({', '.join(parts)}){options}"]
    statements += [set_storage(each) for each in columns if each.storage != each.type_storage]
    for sequence in target.relations.values():
        if sequence.kind == "S" and (sequence.owned_by or "").startswith(f"{table.name}."):
            if not sequence.is_identity:
                statements.append(f"CREATE SEQUENCE {sequence.name} OWNED BY {sequence.owned_by}")
            statements += set_grants("SEQUENCE", sequence.name, target)
    if table.row_security:
        statements.append(f"ALTER TABLE {table.name} ENABLE ROW LEVEL SECURITY")
    return statements + set_grants("TABLE", table.name, target)


def create_indexes(table: Relation, target: Catalog) -> list[str]:
    """Statements for the indexes of a table that nobody uses yet."""
    return [
        index.create(index.name).replace(" CONCURRENTLY", "", 1)
        for index in target.indexes.get(table.name, {}).values()
    ]


def create_view(view: Relation, target: Catalog) -> list[str]:
    """Statements that create a view and grant its rights."""
    options = f" WITH ({view.options})" if view.options else ""
    return [
        f"CREATE VIEW {view.name}{options} AS {view.definition}",
        *set_grants("TABLE", view.name, target),
    ]


def create_function(function: Function, target: Catalog) -> list[str]:
    """Statements that create a function and grant its rights."""
    return [function.definition, *set_grants("FUNCTION", function.signature, target)]


def set_grants(kind: str, name: str, target: Catalog) -> list[str]:
    """Statements that grant the target's rights on an object and no others. Supabase grants all on new
    ones."""
    return [
        f"REVOKE ALL ON {kind} {name} FROM {OUTSIDERS}",
        *grant(target.granted(kind, name)),
    ]


def grant(grants: Iterable[Grant]) -> list[str]:
    """GRANT statements, one per object and role."""
    found: dict[tuple[str, str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for each in grants:
        columns = found[each.kind, each.name, each.grantee][each.privilege]
        if each.column is not None:
            columns.add(each.column)
    statements = []
    for (kind, name, grantee), privileges in sorted(found.items()):
        parts = [
            f"{privilege} ({', '.join(sorted(columns))})" if columns else privilege
            for privilege, columns in sorted(privileges.items())
        ]
        statements.append(f"GRANT {', '.join(parts)} ON {kind} {name} TO {grantee}")
    return statements
