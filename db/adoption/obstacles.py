"""Finds what prevents an adoption."""

from __future__ import annotations

from collections.abc import Iterator

from db.adoption.catalog import Column
from db.adoption.state import State
from db.adoption.steps import Obstacle


def obstacles(state: State) -> Iterator[Obstacle]:
    """What prevents the new schema from being added."""
    if state.doubled_emails:
        yield Obstacle(
            f"{state.doubled_emails} e-mail addresses belong to several profiles.",
            "Decide whose each is; this finds them: SELECT email, array_agg(id) FROM profiles GROUP BY email "
            "HAVING count(*) > 1",
        )
    yield from _names(state)
    for table in state.old_tables:
        relation = state.catalog.relations[table]
        if not relation.is_own:
            yield Obstacle(
                f"{table} belongs to somebody else than the others.",
                f"Let it be the login's: ALTER TABLE {table} OWNER TO …, as its owner or a superuser.",
            )
        if relation.forces_row_security:
            yield Obstacle(
                f"{table} hides rows from its own owner.",
                f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
            )
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
            elif (table, name) in state.misfits:
                yield Obstacle(
                    f"{table}.{name} is {was.type if was else ''} and has to become {column.type}: "
                    f"{state.misfits[table, name]}.",
                    f"Correct these values, or ALTER TABLE {table} RENAME COLUMN {name} TO old_{name} once "
                    "no app uses it as it is; then run this again.",
                )
            elif was is not None and was.type != column.type:
                holders = [
                    each.what
                    for each in state.dependents
                    if (each.target, each.column) == (table, name) and each.kind != "pg_constraint"
                ]
                if holders:
                    yield Obstacle(
                        f"{table}.{name} is {was.type} and has to become {column.type}, which "
                        f"{', '.join(holders)} does not let it.",
                        "Drop that, run this again, and make it once more where the old app needs it.",
                    )


def _names(state: State) -> Iterator[Obstacle]:
    """New names that another object has."""
    target = state.target.catalog
    for relation in target.relations.values():
        if relation.kind != "r" or relation.name in state.catalog.tables:
            continue
        sequences = [
            each.name
            for each in target.relations.values()
            if each.kind == "S" and (each.owned_by or "").startswith(f"{relation.name}.")
        ]
        for name in (relation.name, *target.indexes.get(relation.name, {}), *sequences):
            if other := state.other_names.get(name):
                yield Obstacle(
                    f"The name {name}, which {relation.name} needs, is that of the {other}.",
                    "Give that another name, or drop it; then run this again.",
                )


def _incompatible(was: Column, column: Column) -> str | None:
    if was.type in {column.type, "vector"}:
        return None
    vectors = was.type.startswith("vector") and column.type.startswith("vector")
    ids = column.type == "uuid" and was.type not in {"text", "character varying"}
    if vectors or ids:
        return f"{was.table}.{was.name} is {was.type}, and {column.type} is needed."
    return None
