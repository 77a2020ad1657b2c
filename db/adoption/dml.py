"""Statements about rows, out of the templates in `sql/rows.sql`."""

from __future__ import annotations

from db.adoption.catalog import QUERIES


def statement(name: str, **names: object) -> str:
    """A template filled in."""
    return QUERIES[name].format(**names)


def condition(name: str, **names: object) -> str:
    """A template that is a condition, not a statement."""
    return statement(name, **names).removesuffix(";")


def keep_values(table: str, column: str, where: str, *, value: str | None = None) -> tuple[str, str]:
    """Put the values of a column beside and null in their place. value: what to_jsonb takes of them."""
    kept = statement("keep_value", table=table, column=column, value=value or column, condition=where)
    return kept, statement("clear_value", table=table, column=column, condition=where)


def keep_rows(table: str, reason: str, where: str) -> tuple[str, str]:
    """Put rows beside and take them from their table."""
    kept = statement("keep_row", table=table, reason=reason, condition=where)
    return kept, statement("delete_row", table=table, condition=where)


def count(table: str, where: str = "true", *, what: str = "*") -> str:
    """Count rows, or the values of a column."""
    return statement("count_rows", table=table, condition=where, what=what)
