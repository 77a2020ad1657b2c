"""The steps that add the new schema to the old one while the old app keeps running.

Nothing is renamed, only duplicate rows are removed, and end users keep their rights: their new policies come
with `finish`, because together with the old, wide grants they would allow more than either app intends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from db.adoption import ddl, dml
from db.adoption.bridges import TRIGGER
from db.adoption.catalog import QUERIES, Column, Policy, Relation, Trigger
from db.adoption.keys import foreign_keys, indexes, not_null, put_right, uniques
from db.adoption.obstacles import obstacles
from db.adoption.rules import DUTIES
from db.adoption.state import EXCLUSIVE, WRITERS, State
from db.adoption.steps import INDEX_RATE, READ_RATE, Plan, Step


def expand(state: State) -> Plan:
    """The steps that are left; if all is done, only the blocks that check for themselves."""
    plan = Plan()
    plan.obstacles += obstacles(state)
    plan.add(Step("make the roles, pgvector and auth.uid() where they are missing", state.target.foundation))
    names = ", ".join(f"('{table}')" for table in state.old_tables)
    plan.add(
        Step(
            "make a schema for values and rows that are set aside",
            (
                QUERIES["prepare"],
                dml.statement("note_old_tables", names=names),
            ),
        )
    )
    for steps in (
        *(_columns(state, table) for table in state.old_tables),
        _new_objects(state),
        _bridges(state),
        _checks_in_the_way(state),
        _rows(state),
        uniques(state),
        *(foreign_keys(state, table) for table in state.target.catalog.tables),
        *(not_null(state, table) for table in state.old_tables),
        *(indexes(state, table) for table in state.old_tables),
        *(_triggers(state, table) for table in state.target.catalog.tables),
        *(_policies(state, table) for table in state.old_tables),
        _new_policies(state),
        _rights(state),
        celebrities(state),
        people(state),
        _blocks(state),
    ):
        for step in steps:
            plan.add(step)
    return plan


def _change_type(was: Column, column: Column) -> list[str]:
    default = f", ALTER COLUMN {column.name} SET DEFAULT {column.default}" if column.default else ""
    drop = f"ALTER COLUMN {column.name} DROP DEFAULT, " if was.default else ""
    statements: list[str] = []
    if was.type == "vector":
        # Its rows may have any size; those of another are of no use here.
        other = f"vector_dims({was.name}) <> {column.type.removeprefix('vector(').removesuffix(')')}"
        statements += dml.keep_values(was.table, was.name, other, value=f"{was.name}::real[]")
    return [
        *statements,
        f"ALTER TABLE {was.table} {drop}ALTER COLUMN {column.name} TYPE {column.type} USING "
        f"{ddl.converted(was, column)}{default}",
        *([ddl.set_storage(column)] if column.storage != column.type_storage else []),
    ]


def _columns(state: State, table: str) -> Iterator[Step]:
    old, target = state.catalog.columns[table], state.target.catalog.columns[table]
    parts: list[str] = []
    added: set[str] = set()
    rewritten: list[str] = []
    for name, column in target.items():
        was = old.get(name)
        if was is None and column.generated is not None:
            rewritten.append(f"ALTER TABLE {table} ADD COLUMN {ddl.column(column)}")
            continue
        if was is None:
            parts.append(f"ADD COLUMN {ddl.column(column, nullable=column.default is None)}")
            added.add(name)
        else:
            is_same = was.type == column.type
            if is_same and column.default is not None and was.default != column.default:
                parts.append(f"ALTER COLUMN {name} SET DEFAULT {column.default}")
            if was.not_null and not column.not_null:
                parts.append(f"ALTER COLUMN {name} DROP NOT NULL")
            if not is_same:
                rewritten += _change_type(was, column)
                continue
        if column.storage != (column.type_storage if was is None else was.storage):
            parts.append(ddl.set_storage(column).removeprefix(f"ALTER TABLE {table} "))
    # What only the old app knows, this one leaves out.
    parts += [
        f"ALTER COLUMN {name} DROP NOT NULL"
        for name, was in old.items()
        if name not in target and was.not_null and was.default is None and not was.identity
    ]
    # Those that call a function of ours, which is not there yet, come in the end.
    calls = tuple(f"{function.name}(" for function in state.target.catalog.functions.values())
    parts += [
        f"ADD CONSTRAINT {each.name} {each.definition} NOT VALID"
        for each in state.target.catalog.constraints.get(table, {}).values()
        if each.kind == "c"
        and added.issuperset(each.columns)
        and not any(call in each.expression for call in calls)
    ]
    options = state.target.catalog.relations[table].options
    if options and options != state.catalog.relations[table].options:
        parts.append(f"SET ({options})")
    if parts:
        names = ", ".join(sorted(added))
        yield Step(
            f"add to {table}: {names}" if added else f"let {table} take what this app leaves out",
            (f"ALTER TABLE {table} {', '.join(parts)}",),
            EXCLUSIVE,
        )
    if rewritten:
        yield Step(
            f"store {table} with the types it needs",
            tuple(rewritten),
            "everyone who uses the table, until it is rewritten",
            state.rows[table],
            INDEX_RATE,
        )


def _new_objects(state: State) -> Iterator[Step]:
    """Missing tables, functions and views, each after those that it may refer to."""
    old, target = state.catalog, state.target.catalog
    found: dict[int, list[str]] = {}
    # After all functions, which they may be made with.
    new_indexes: list[str] = []
    tables, functions = 0, 0
    for relation in target.relations.values():
        was = old.relations.get(relation.name)
        if relation.kind == "r" and was is None:
            found[relation.number] = ddl.create_table(relation, target)
            new_indexes += ddl.create_indexes(relation, target)
            tables += 1
        elif relation.kind == "v" and not _same_view(was, relation):
            drop = [f"DROP VIEW {relation.name}"] if was is not None else []
            found[relation.number] = [*drop, *ddl.create_view(relation, target)]
            tables += 1
    for function in target.functions.values():
        has = old.functions.get(function.signature)
        if has is None:
            statements = ddl.create_function(function, target)
        elif has.definition == function.definition:
            continue
        elif (has.result, has.arguments) != (function.result, function.arguments):
            # Those who may call the old one may call this.
            rights = ddl.grant(old.granted("FUNCTION", has.signature))
            statements = [
                f"DROP FUNCTION {has.signature}",
                *ddl.create_function(function, target),
                *rights,
            ]
        elif function.is_trigger:
            # Nobody needs the right to it for the trigger to fire.
            statements = [function.definition, *ddl.set_grants("FUNCTION", function.signature, target)]
        else:
            statements = [function.definition]
        found[function.number] = statements
        functions += 1
    if found:
        yield Step(
            f"make {tables} tables and views, and make or replace {functions} functions",
            (*(statement for number in sorted(found) for statement in found[number]), *new_indexes),
        )


def _same_view(was: Relation | None, relation: Relation) -> bool:
    return was is not None and (was.definition, was.options) == (relation.definition, relation.options)


def _bridges(state: State) -> Iterator[Step]:
    for bridge in state.wanted_bridges.values():
        there = TRIGGER in state.catalog.triggers.get(bridge.table, {})
        if not there or state.bridges.get(bridge.function) != bridge.body:
            yield Step(
                f"correct from now on what is written to {bridge.table}",
                tuple(bridge.create(state.search_path)),
                WRITERS,
            )


def _checks_in_the_way(state: State) -> Iterator[Step]:
    """Checks of the old app on columns that the target also checks. They may refuse what this app writes; the
    target's come when the old app is gone."""
    for table in state.old_tables:
        wanted = state.target.catalog.constraints.get(table, {}).values()
        checks = [each for each in wanted if each.kind == "c"]
        allowed = {each.definition for each in checks}
        ruled = {tuple(sorted(each.columns)) for each in checks}
        dropped = [
            f"DROP CONSTRAINT {each.name}"
            for each in state.catalog.constraints.get(table, {}).values()
            if each.kind == "c" and each.definition not in allowed and tuple(sorted(each.columns)) in ruled
        ]
        if dropped:
            yield Step(
                f"lift rules of {table} that this app's differ from",
                (f"ALTER TABLE {table} {', '.join(dropped)}",),
                EXCLUSIVE,
            )


def _rows(state: State) -> Iterator[Step]:
    # Matches before what hangs on them would change nothing: each has its own trigger.
    for table, bridge in state.wanted_bridges.items():
        # Turned round, a match might be the double of another: that is for their merging.
        if table != "matches":
            yield from put_right(state, bridge)


def _base(function: str) -> str:
    return function.partition("(")[0]


def doubled(table: str, present: Mapping[str, Trigger], wanted: Mapping[str, Trigger]) -> list[str]:
    """Triggers of the old app that do the same as one of the target's."""
    ours = {_base(each.function) for each in wanted.values()}
    duty = DUTIES.get(table, "")
    return [
        each.name
        for each in present.values()
        if (each.name not in wanted or each.definition != wanted[each.name].definition)
        and each.name != TRIGGER
        and (
            each.name in wanted
            or _base(each.function) in ours
            or (duty and "insert into" in (text := " ".join(each.source.lower().split())) and duty in text)
        )
    ]


def _triggers(state: State, table: str) -> Iterator[Step]:
    present = state.catalog.triggers.get(table, {})
    wanted = state.target.catalog.triggers.get(table, {})
    missing = [
        each
        for each in wanted.values()
        if each.name not in present or present[each.name].definition != each.definition
    ]
    dropped = doubled(table, present, wanted)
    if not missing and not dropped:
        return
    statements = [f"DROP TRIGGER {name} ON {table}" for name in dropped]
    statements += [each.definition for each in missing]
    sources = " ".join(each.source for each in missing)
    statements += [seed for seed in state.target.seeds if _seed_of(seed, table) and _into(seed) in sources]
    instead = f", in place of {', '.join(dropped)}" if dropped else ""
    yield Step(f"add the triggers of {table}{instead}", tuple(statements), WRITERS)


def _into(seed: str) -> str:
    return seed.split()[2]


def _seed_of(seed: str, table: str) -> bool:
    """Whether a seed counts the rows of a table, from when on triggers keep the count."""
    return f"FROM {table}" in seed and "ON CONFLICT" not in seed


def _policies(state: State, table: str) -> Iterator[Step]:
    """Only the application's."""
    missing = [each.definition for each in _missing_policies(state, table) if each.is_for_service]
    if missing:
        yield Step(f"let the application see the rows of {table}", tuple(missing), EXCLUSIVE)


def _new_policies(state: State) -> Iterator[Step]:
    missing = [
        each.definition
        for table in state.target.catalog.tables
        if table not in state.old_tables
        for each in _missing_policies(state, table)
    ]
    if missing:
        yield Step("add the policies of the new tables", tuple(missing))


def _missing_policies(state: State, table: str) -> list[Policy]:
    present = state.catalog.policies.get(table, {})
    return [
        each for each in state.target.catalog.policies.get(table, {}).values() if each.name not in present
    ]


def _rights(state: State) -> Iterator[Step]:
    statements: list[str] = []
    for (kind, name), wanted in state.target.catalog.grants.items():
        service = {each for each in wanted if each.grantee == "semblance_service"}
        missing = service - state.catalog.granted(kind, name)
        is_old = name in state.old_tables or name in state.catalog.functions
        if missing and is_old:
            statements += ddl.grant(missing)
    if statements:
        yield Step("give the application its rights", tuple(statements))


def celebrities(state: State) -> Iterator[Step]:
    """Copies celebrities who were profiles with faces into the gallery, with the face's id."""
    faces, gallery = state.target.catalog.columns["faces"], state.target.catalog.columns["celebrities"]
    if "profiles" not in state.old_tables or "faces" not in state.old_tables:
        return
    shared = [name for name in gallery if name in faces and name not in {"gender", "image_hash"}]
    values = ", ".join(f"faces.{name}" for name in shared)
    yield Step(
        "copy celebrities who are profiles into the gallery",
        (
            dml.statement("copy_celebrities", columns=", ".join(shared), values=values),
            QUERIES["copy_celebrity_matches"],
        ),
        "",
        state.rows.get("faces", 0),
        READ_RATE,
    )


def people(state: State) -> Iterator[Step]:
    """Gathers the gallery's photos into people. A trigger gives one to what the old app adds meanwhile."""
    if "celebrities" in state.old_tables:
        yield Step(
            "gather the gallery's photos into people",
            (QUERIES["add_people"], QUERIES["assign_people"]),
            "",
            state.rows.get("celebrities", 0),
            READ_RATE,
        )


def _blocks(state: State) -> Iterator[Step]:
    """The blocks of the schema's file that depend on the server, and a new database's rows."""
    signups = state.catalog.triggers.get("auth.users", {})
    wanted = state.target.catalog.triggers.get("auth.users", {})
    dropped = doubled("auth.users", signups, wanted)
    statements = [_drop_signup(state, signups[name]) for name in dropped]
    statements += state.target.blocks
    statements += [seed for seed in state.target.seeds if "ON CONFLICT" in seed]
    instead = f", in place of {', '.join(dropped)}" if dropped else ""
    yield Step(
        f"make profiles of new accounts{instead}, and set what depends on the server",
        tuple(statements),
        "those who sign up, for a moment" if dropped or not wanted.keys() <= signups.keys() else "",
    )


def _drop_signup(state: State, trigger: Trigger) -> str:
    """Drop a trigger of auth.users, which belongs to Supabase: the user `postgres` of old and self-hosted
    projects may add triggers there, but can drop them only together with their function."""
    drop = f"DROP TRIGGER {trigger.name} ON auth.users"
    uses = [
        each
        for triggers in state.catalog.triggers.values()
        for each in triggers.values()
        if each.function == trigger.function
    ]
    ours = {each.function for each in state.target.catalog.triggers.get("auth.users", {}).values()}
    if trigger.function in ours:
        instead = "NULL"  # It may stay: the profile is made once.
    elif len(uses) == 1:
        instead = f"DROP FUNCTION {trigger.function} CASCADE"
    else:
        return drop
    return f"DO $$ BEGIN {drop}; EXCEPTION WHEN insufficient_privilege THEN {instead}; END $$"
