"""The steps that remove the old schema, after the old app is gone."""

from __future__ import annotations

from collections.abc import Iterator

from db.adoption import ddl, dml
from db.adoption.bridges import SCHEMA, TRIGGER
from db.adoption.catalog import QUERIES, Constraint
from db.adoption.expand import celebrities
from db.adoption.rules import OLD_FUNCTIONS, OLD_TABLES
from db.adoption.state import EXCLUSIVE, Dependent, State
from db.adoption.steps import READ_RATE, Obstacle, Plan, Step


def finish(state: State, broken: dict[tuple[str, str], int], used: dict[tuple[str, str], int]) -> Plan:
    """The steps that are left.

    Args:
        broken: how many rows break a new constraint and cannot be corrected, by table and constraint.
        used: how many values the columns to be dropped have, and how many rows the tables (column "").
    """
    plan = Plan()
    plan.obstacles += _obstacles(state, broken)
    for steps in (
        _rows(state),
        _tables(state),
        _unfit(state, broken),
        *(_shape(state, table, used) for table in state.old_tables),
        *(_indexes(state, table) for table in state.old_tables),
        _functions(state),
        _old_tables(state, used),
        _schema(state),
    ):
        for step in steps:
            plan.add(step)
    return plan


def to_come(state: State, table: str) -> list[Constraint]:
    """Constraints of the new schema that the table does not have yet."""
    present = {
        each.definition
        for each in state.catalog.constraints.get(table, {}).values()
        if each.kind == "c" and each.validated
    }
    return [
        each
        for each in state.target.catalog.constraints.get(table, {}).values()
        if each.kind == "c" and each.definition not in present
    ]


def no_values(state: State, table: str) -> list[str]:
    """Columns that must become NOT NULL."""
    present = state.catalog.columns[table]
    return [
        name
        for name, column in state.target.catalog.columns[table].items()
        if column.not_null and name in present and not present[name].not_null
    ]


def gone(state: State, table: str) -> list[str]:
    """Columns that only the old app has."""
    return [name for name in state.catalog.columns[table] if name not in state.target.catalog.columns[table]]


def old_tables(state: State) -> list[str]:
    """Documented tables that nothing uses."""
    tables = state.catalog.tables
    return [name for name in OLD_TABLES if name in tables and name not in state.target.catalog.relations]


def unknown_tables(state: State) -> list[str]:
    """Tables that no document names, and that stay."""
    ours = state.target.catalog.relations
    return [name for name in state.catalog.tables if name not in ours and name not in OLD_TABLES]


def _is_leaf(state: State, table: str) -> bool:
    """Whether no foreign key refers to the table."""
    return not any(
        each.refers_to == table
        for constraints in state.catalog.constraints.values()
        for each in constraints.values()
    )


def _obstacles(state: State, broken: dict[tuple[str, str], int]) -> Iterator[Obstacle]:
    for (table, name), rows in broken.items():
        if rows and not _is_leaf(state, table):
            rule = state.target.catalog.constraints[table].get(name)
            condition = f"NOT ({rule.expression})" if rule else f"{name} IS NULL"
            yield Obstacle(
                f"{rows:,} rows of {table} break {f'the rule {name}' if rule else f'{name} NOT NULL'}.",
                f"Correct or delete the rows of {table} where {condition}.",
            )

    for table in state.old_tables:
        for name in gone(state, table):
            users = _users(state, table, name)
            if users:
                yield Obstacle(
                    f"{', '.join(users)} uses {table}.{name}, which goes.",
                    "Drop that, or leave the column out.",
                )
    for table in old_tables(state):
        if users := _users(state, table):
            yield Obstacle(f"{', '.join(users)} uses {table}, which goes.", "Drop that first.")


def _users(state: State, target: str, column: str | None = None) -> list[str]:
    """What uses an object and will still exist when that is dropped. column: None for any, or none."""
    return sorted({
        each.what
        for each in state.dependents
        if each.target == target and column in {None, each.column} and not _goes_before(state, each)
    })  # fmt: skip


def _goes_before(state: State, user: Dependent) -> bool:
    """Whether it is dropped or replaced before the object that it uses."""
    if user.on not in state.old_tables:
        return user.on == user.target
    if user.kind == "pg_attrdef":
        return user.on_column in gone(state, user.on)
    return user.kind in {"pg_policy", "pg_trigger"}


def _rows(state: State) -> Iterator[Step]:
    for table, bridge in state.wanted_bridges.items():
        if state.refused[table] and TRIGGER in state.catalog.triggers.get(table, {}):
            yield bridge.put_right(state.refused[table])
    yield from celebrities(state)


def _tables(state: State) -> Iterator[Step]:
    """Triggers, policies and rights: one table at a time, so that none is open in between."""
    target = state.target.catalog
    for table in state.old_tables:
        triggers = [
            name
            for name in state.catalog.triggers.get(table, {})
            # What puts rows right stays until rules refuse those that are not: see `_shape`.
            if name not in target.triggers.get(table, {}) and name != TRIGGER
        ]
        statements = [f"DROP TRIGGER {name} ON {table}" for name in triggers]
        policies, wanted = state.catalog.policies.get(table, {}), target.policies.get(table, {})
        same = {
            name
            for name in policies
            if name in wanted and policies[name].definition == wanted[name].definition
        }
        removed = [name for name in policies if name not in same]
        statements += [f"DROP POLICY {name} ON {table}" for name in removed]
        statements += [each.definition for name, each in wanted.items() if name not in same]
        if not state.catalog.relations[table].row_security:
            statements.append(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        if state.catalog.granted("TABLE", table) != target.granted("TABLE", table):
            statements.append(f"REVOKE ALL ON TABLE {table} FROM {ddl.OUTSIDERS}, semblance_service")
            statements += ddl.grant(target.granted("TABLE", table))
        if statements:
            lost = [*triggers, *removed]
            what = f", without {', '.join(lost)}" if lost else ""
            yield Step(f"give {table} its triggers, policies and rights{what}", tuple(statements), EXCLUSIVE)


def _unfit(state: State, broken: dict[tuple[str, str], int]) -> Iterator[Step]:
    for (table, name), rows in broken.items():
        if not rows or not _is_leaf(state, table):
            continue
        rule = state.target.catalog.constraints[table].get(name)
        condition = f"NOT ({rule.expression})" if rule else f"{name} IS NULL"
        yield Step(
            f"set aside rows of {table} that break {name}",
            dml.keep_rows(table, name, condition),
            "",
            rows,
        )


def _shape(state: State, table: str, used: dict[tuple[str, str], int]) -> Iterator[Step]:
    """Columns and constraints, in one step with dropping the bridge, so that no wrong row gets in between."""
    statements = []
    if TRIGGER in state.catalog.triggers.get(table, {}):
        statements.append(f"DROP TRIGGER {TRIGGER} ON {table}")
    present, wanted = state.catalog.columns[table], state.target.catalog.columns[table]
    lost = gone(state, table)
    # What is made of another column goes before that.
    lost.sort(key=lambda name: present[name].generated is None)
    parts = [f"DROP COLUMN {name}" for name in lost]
    parts += [
        f"ALTER COLUMN {name} DROP DEFAULT"
        for name, column in wanted.items()
        if name in present and column.default is None and present[name].default is not None
    ]
    parts += [f"ALTER COLUMN {name} SET NOT NULL" for name in no_values(state, table)]
    checks = [each for each in state.target.catalog.constraints.get(table, {}).values() if each.kind == "c"]
    removed, kept = _old_constraints(state, table)
    added = [
        f"ADD CONSTRAINT {each.name} {each.definition} NOT VALID" for each in checks if each.name not in kept
    ]
    # A column that went took its rules along, so they may be gone by then.
    for actions in (parts, added):
        if actions:
            statements.append(f"ALTER TABLE {table} {', '.join(actions)}")
        if actions is parts:
            statements += removed
    if statements:
        named = ", ".join(f"{name} ({used.get((table, name), 0):,} values)" for name in lost)
        yield Step(
            f"drop columns of {table}: {named}" if lost else f"let {table} have the rules of the new schema",
            tuple(statements),
            EXCLUSIVE,
            state.rows[table],
            READ_RATE,
        )
    unchecked = [each.name for each in checks if each.name not in kept or not kept[each.name].validated]
    if unchecked:
        yield Step(
            f"check {len(unchecked)} rules of {table}",
            tuple(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}" for name in unchecked),
            "",
            len(unchecked) * state.rows[table],
            READ_RATE,
            mode="alone",
        )


def _old_constraints(state: State, table: str) -> tuple[list[str], dict[str, Constraint]]:
    """Statements that drop or rename the old app's constraints, and what remains after them, by name."""
    present = state.catalog.constraints.get(table, {})
    wanted = state.target.catalog.constraints.get(table, {})
    kept = {
        name: each
        for name, each in present.items()
        if name in wanted and wanted[name].definition == each.definition
    }
    dropped, renamed = [], []
    for name, each in present.items():
        if name in kept:
            continue
        heir = next(
            (
                other.name
                for other in wanted.values()
                if other.definition == each.definition
                and other.name not in present
                and other.name not in kept
            ),
            None,
        )
        if heir is not None:
            renamed.append(f"ALTER TABLE {table} RENAME CONSTRAINT {name} TO {heir}")
            kept[heir] = each
        else:
            dropped.append(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")
    return [*dropped, *renamed], kept


def _indexes(state: State, table: str) -> Iterator[Step]:
    wanted = state.target.catalog.indexes.get(table, {})
    heirs: dict[str, str] = {}
    for name, each in state.catalog.indexes.get(table, {}).items():
        if name in wanted and wanted[name].definition == each.definition:
            heirs[name] = name
    for name, each in state.catalog.indexes.get(table, {}).items():
        for other in wanted.values():
            if other.definition == each.definition and other.name not in heirs and name not in heirs.values():
                heirs[other.name] = name
    kept = set(heirs.values())
    dropped = [name for name in state.catalog.indexes.get(table, {}) if name not in kept]
    statements = [f"DROP INDEX IF EXISTS {name}" for name in dropped]
    statements += [f"ALTER INDEX {name} RENAME TO {heir}" for heir, name in heirs.items() if heir != name]
    if statements:
        what = f"drop {', '.join(dropped)}" if dropped else "rename indexes"
        yield Step(f"{what} of {table}", tuple(statements), EXCLUSIVE)


def _functions(state: State) -> Iterator[Step]:
    """Drops the old app's functions, and those of its triggers that nothing else calls."""
    target = state.target.catalog
    names = {each.name for each in target.functions.values()} | set(OLD_FUNCTIONS)
    called = {
        trigger.function
        for table, triggers in state.catalog.triggers.items()
        if table not in state.old_tables
        for trigger in triggers.values()
    }
    dropped, restricted = [], []
    for signature, each in state.catalog.functions.items():
        if signature not in target.functions:
            is_old = each.name in names or (each.is_trigger and signature not in called)
            # What something of nobody's uses stays with that.
            if is_old and not _users(state, signature):
                dropped.append(signature)
        elif state.catalog.granted("FUNCTION", signature) != target.granted("FUNCTION", signature):
            restricted += ddl.set_grants("FUNCTION", signature, target)
    if dropped:
        yield Step(
            f"drop the functions {', '.join(dropped)}",
            tuple(f"DROP FUNCTION {signature}" for signature in dropped),
        )
    if restricted:
        yield Step("let nobody else call the functions that are left", tuple(restricted))


def _old_tables(state: State, used: dict[tuple[str, str], int]) -> Iterator[Step]:
    for name in old_tables(state):
        yield Step(
            f"drop the table {name}, with {used.get((name, ''), 0):,} rows",
            (f"DROP TABLE {name}",),
            EXCLUSIVE,
        )


def _schema(state: State) -> Iterator[Step]:
    if any(
        grant.grantee == "PUBLIC" and grant.privilege == "CREATE"
        for grant in state.catalog.granted("SCHEMA", "public")
    ):
        yield Step("let nobody make tables in public", ("REVOKE CREATE ON SCHEMA public FROM PUBLIC",))
    statements = [f"DROP FUNCTION {SCHEMA}.{name}" for name in state.bridges if name.startswith("bridge_")]
    statements += [
        QUERIES["close"],
    ]
    yield Step(f"remove what stood between the two apps; what was kept stays in {SCHEMA}", tuple(statements))
