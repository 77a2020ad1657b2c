"""Builds statements about rows from the templates in `sql/rows.sql`."""

from __future__ import annotations

from db.adoption.catalog import QUERIES


def statement(name: str, **names: object) -> str:
    """A template with its names filled in."""
    return QUERIES[name].format(**names)


def condition(name: str, **names: object) -> str:
    """A template of a condition with its names filled in."""
    return statement(name, **names).removesuffix(";")


def keep_values(table: str, column: str, where: str, *, value: str | None = None) -> tuple[str, str]:
    """Set the values of a column aside and replace them by null. value: the expression that to_jsonb
    takes."""
    kept = statement("keep_value", table=table, column=column, value=value or column, condition=where)
    return kept, statement("clear_value", table=table, column=column, condition=where)


def keep_rows(table: str, reason: str, where: str) -> tuple[str, str]:
    """Set rows aside and delete them from their table."""
    kept = statement("keep_row", table=table, reason=reason, condition=where)
    return kept, statement("delete_row", table=table, condition=where)


def count(table: str, where: str = "true", *, what: str = "*") -> str:
    """Count rows, or the values of a column."""
    return statement("count_rows", table=table, condition=where, what=what)
