"""What stands in the way of an adoption."""

from __future__ import annotations

from collections.abc import Iterator

from db.adoption.catalog import Column
from db.adoption.state import State
from db.adoption.steps import Obstacle


def obstacles(state: State) -> Iterator[Obstacle]:
    """What keeps the new schema from being added."""
    if state.doubled_emails:
        yield Obstacle(
            f"{state.doubled_emails} e-mail addresses belong to several profiles.",
            "Decide whose each is; this finds them: SELECT email, array_agg(id) FROM profiles GROUP BY email "
            "HAVING count(*) > 1",
        )
    for table in state.old_tables:
        for policy in state.catalog.policies.get(table, {}).values():
            if policy.restricts and not {"public", "semblance_service"}.isdisjoint(policy.roles):
                yield Obstacle(
                    f"The policy {policy.name} would hide rows of {table} from the application.",
                    f"Name whom it is for: ALTER POLICY {policy.name} ON {table} TO authenticated, anon",
                )
        keys = [each for each in state.catalog.constraints.get(table, {}).values() if each.kind == "p"]
        wanted = [
            each for each in state.target.catalog.constraints.get(table, {}).values() if each.kind == "p"
        ]
        if [each.definition for each in keys] != [each.definition for each in wanted]:
            yield Obstacle(
                f"{table} has no primary key {wanted[0].definition.removeprefix('PRIMARY KEY ')}.",
                f"ALTER TABLE {table} ADD {wanted[0].definition}, once its values differ and none is null.",
            )
        for name, column in state.target.catalog.columns[table].items():
            was = state.catalog.columns[table].get(name)
            if was is not None and (problem := _incompatible(was, column)):
                yield Obstacle(
                    problem,
                    f"Once no app uses it as it is, ALTER TABLE {table} RENAME COLUMN {name} TO old_{name}, "
                    "or rename the whole table; then run this again, and a new one takes its place.",
                )
            elif was is not None and was.type != column.type and (table, name) in state.dependents:
                yield Obstacle(
                    f"{table}.{name} is {was.type} and has to become {column.type}, which "
                    f"{', '.join(state.dependents[table, name])} does not let it.",
                    "Drop that, run this again, and make it once more where the old app needs it.",
                )


def _incompatible(was: Column, column: Column) -> str | None:
    if was.type in {column.type, "vector"}:
        return None
    vectors = was.type.startswith("vector") and column.type.startswith("vector")
    ids = column.type == "uuid" and was.type not in {"text", "character varying"}
    if vectors or ids:
        return f"{was.table}.{was.name} is {was.type}, and {column.type} is needed."
    return None
