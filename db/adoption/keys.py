"""Constraints and indexes of the old tables, built next to the present ones while others write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from db.adoption import dml
from db.adoption.bridges import Bridge
from db.adoption.catalog import Column, Constraint, Index
from db.adoption.rules import DEFAULTS
from db.adoption.state import EXCLUSIVE, SPARE, State
from db.adoption.steps import HNSW_RATE, INDEX_RATE, READ_RATE, Step

_MERGES = {"matches": "merge_matches", "mutual_connections": "merge_connections"}
_LED_OVER = {
    *(("reactions", "match_id"), ("babies", "match_id"), ("mutual_connections", "match_id")),
    ("messages", "connection_id"),
}
"""Foreign keys that the merges redirect by their own rules."""


def uniques(state: State) -> Iterator[Step]:
    """Unique constraints and indexes. Reactions come first, because the merge of matches relies on theirs."""
    for table in sorted(state.old_tables, key=lambda name: name in _MERGES):
        if table == "matches" and "matches" in state.wanted_bridges:
            pending = [
                each
                for each in state.target.catalog.constraints["matches"].values()
                if each.kind == "u" and not _has(state.catalog.constraints["matches"].values(), each)
            ]
            if pending:
                yield _merge(state, table)
            yield from put_right(state, state.wanted_bridges["matches"])
        for constraint in state.target.catalog.constraints.get(table, {}).values():
            if constraint.kind == "u":
                yield from _unique_constraint(state, constraint)
        for index in state.target.catalog.indexes.get(table, {}).values():
            if index.is_unique:
                yield from _index(state, index)


def _has(present: Iterable[Constraint], wanted: Constraint) -> bool:
    return any(
        each.kind == wanted.kind and each.definition == wanted.definition and each.validated
        for each in present
    )


def _unique_constraint(state: State, wanted: Constraint) -> Iterator[Step]:
    table = wanted.table
    present = state.catalog.constraints.get(table, {})
    if _has(present.values(), wanted):
        return
    if table != "matches":
        yield from _doubles(state, table, wanted.columns)
    columns = wanted.definition.removeprefix("UNIQUE ")
    definition = f"CREATE UNIQUE INDEX ON public.{table} USING btree {columns}"
    index = Index(table, wanted.name + SPARE, definition, True, True, wanted.columns)
    yield from _build(state, index, index.name)
    narrower = [
        each.name
        for each in present.values()
        if each.kind == "u" and (set(each.columns) < set(wanted.columns) or each.name == wanted.name)
    ]
    parts = [f"DROP CONSTRAINT {name}" for name in narrower]
    parts.append(f"ADD CONSTRAINT {wanted.name} UNIQUE USING INDEX {index.name}")
    yield Step(
        f"let {table} have each {columns} once" + (", in place of fewer columns" if narrower else ""),
        (f"ALTER TABLE {table} {', '.join(parts)}",),
        EXCLUSIVE,
    )


def _merge(state: State, table: str) -> Step:
    return Step(
        f"make one of {table} that are there twice",
        (dml.statement(_MERGES[table], others="\n".join(_led_over(state, table))),),
        "who writes to rows that refer to them, until the duplicates are merged",
        state.rows[table],
        READ_RATE,
    )


def _led_over(state: State, table: str) -> Iterator[str]:
    """Statements that redirect references from a removed row to the kept one, in tables that the merge does
    not name."""
    for key in _keys_to(state, table):
        if (key.table, key.columns[0]) not in _LED_OVER:
            yield dml.statement("lead_over", table=key.table, column=key.columns[0])


def _keys_to(state: State, table: str) -> list[Constraint]:
    """Present and new foreign keys to the ids of a table."""
    tables = set(state.old_tables)
    found = {
        (each.table, each.columns[0]): each
        for catalog in (state.target.catalog, state.catalog)
        for constraints in catalog.constraints.values()
        for each in constraints.values()
        if each.kind == "f" and each.refers_to == table and len(each.columns) == 1
        if catalog is state.catalog or each.table in tables
    }
    return list(found.values())


def _keep_rows(state: State, table: str, reason: str, where: str, seen: tuple[str, ...] = ()) -> list[str]:
    """Statements that set rows aside, and before them the rows that refer to them, which would be deleted
    with them or prevent it."""
    statements: list[str] = []
    for key in _keys_to(state, table):
        column = key.columns[0]
        if key.table in {table, *seen}:
            continue
        leading = dml.condition("leading", column=column, table=table, condition=where)
        present = state.catalog.columns[key.table]
        wanted = state.target.catalog.columns.get(key.table, present).get(column) or present[column]
        if wanted.not_null:
            statements += _keep_rows(state, key.table, reason, leading, (*seen, table))
        elif "id" in present:
            statements += dml.keep_values(key.table, column, leading)
    return [*statements, *dml.keep_rows(table, reason, where)]


def _doubles(state: State, table: str, columns: list[str]) -> Iterator[Step]:
    """Later rows with the same key: cleared of a nullable value, or else set aside."""
    rows = state.rows[table]
    keys = ", ".join(columns)
    doubled = dml.condition("later_doubles", table=table, keys=keys)
    nullable = [name for name in columns if not state.target.catalog.columns[table][name].not_null]
    if table == "profiles":
        return
    if table in _MERGES:
        yield _merge(state, table)
    elif nullable:
        name = nullable[-1]
        yield Step(
            f"clear {name} of {table} where an earlier row has the same",
            dml.keep_values(table, name, doubled),
            "",
            rows,
            READ_RATE,
        )
    else:
        yield Step(
            f"set aside duplicate rows of {table}",
            tuple(_keep_rows(state, table, "second of its kind", doubled)),
            "",
            rows,
            READ_RATE,
        )


def foreign_keys(state: State, table: str) -> Iterator[Step]:
    """Foreign keys. One that acts differently on deletion is replaced by the target's, once that is
    validated."""
    present = state.catalog.constraints.get(table, {})
    orphans: list[Step] = []
    added: list[str] = []
    checked: list[str] = []
    swapped: list[str] = []
    tables: set[str] = set()
    for wanted in state.target.catalog.constraints.get(table, {}).values():
        same = [each for each in present.values() if each.definition == wanted.definition]
        if wanted.kind != "f" or any(each.validated and not each.name.endswith(SPARE) for each in same):
            continue
        tables.add(wanted.refers_to)
        others = [
            each
            for each in present.values()
            if each.kind == "f" and each.columns == wanted.columns and each.definition != wanted.definition
        ]
        replaced = [each.name for each in others]
        name = wanted.name + SPARE if wanted.name in replaced else wanted.name
        is_kept = any(each.validated and each.refers_to == wanted.refers_to for each in others)
        if not is_kept and table in state.old_tables:
            orphans += _orphans(state, wanted)
        if not any(each.name == name for each in same):
            added.append(f"ADD CONSTRAINT {name} {wanted.definition} NOT VALID")
        checked.append(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")
        if replaced:
            dropped = ", ".join(f"DROP CONSTRAINT {each}" for each in replaced)
            swapped.append(f"ALTER TABLE {table} {dropped}")
            if name != wanted.name:
                swapped.append(f"ALTER TABLE {table} RENAME CONSTRAINT {name} TO {wanted.name}")
    yield from orphans
    leads_to = ", ".join(sorted(tables))
    if added:
        yield Step(
            f"tie {table} to {leads_to}",
            (f"ALTER TABLE {table} {', '.join(added)}",),
            f"writers of {table}, {leads_to}, for a moment",
        )
    if checked:
        yield Step(
            f"check that rows of {table} lead to {leads_to}",
            tuple(checked),
            "",
            len(checked) * state.rows.get(table, 0),
            READ_RATE,
            mode="alone",
        )
    if swapped:
        yield Step(
            f"drop the foreign keys of {table} that differ in what a deletion does", tuple(swapped), EXCLUSIVE
        )


def _orphans(state: State, key: Constraint) -> Iterator[Step]:
    """Rows with a broken reference, if no foreign key has prevented them."""
    (name,) = key.columns
    if name not in state.catalog.columns[key.table]:
        return
    where = dml.condition("orphaned", column=name, refers_to=key.refers_to)
    if state.target.catalog.columns[key.table][name].not_null:
        statements = tuple(_keep_rows(state, key.table, f"{name} leads to nothing", where))
    else:
        statements = dml.keep_values(key.table, name, where)
    yield Step(
        f"set aside references of {key.table} to rows of {key.refers_to} that are gone",
        statements,
        "",
        state.rows[key.table],
        READ_RATE,
    )


def not_null(state: State, table: str) -> Iterator[Step]:
    """Columns with a default that the old app may leave null. The long check of the rows blocks no
    writers."""
    names = [
        name
        for name, column in state.target.catalog.columns[table].items()
        if column.not_null
        and (column.default is not None or (table, name) in DEFAULTS)
        and not column.identity
        and not _comes_complete(state.catalog.columns[table].get(name), column)
    ]
    if not names:
        return
    checks = {name: f"{table}_{name}{SPARE}" for name in names}
    what = ", ".join(names)
    dropped = [f"DROP CONSTRAINT IF EXISTS {check}" for check in checks.values()]
    added = [f"ADD CONSTRAINT {check} CHECK ({name} IS NOT NULL) NOT VALID" for name, check in checks.items()]
    yield Step(
        f"let {table} have a value always in {what}",
        (f"ALTER TABLE {table} {', '.join(dropped)}", f"ALTER TABLE {table} {', '.join(added)}"),
        EXCLUSIVE,
    )
    yield Step(
        f"check that {table} has one",
        tuple(f"ALTER TABLE {table} VALIDATE CONSTRAINT {check}" for check in checks.values()),
        "",
        len(checks) * state.rows[table],
        READ_RATE,
        mode="alone",
    )
    known = [f"ALTER COLUMN {name} SET NOT NULL" for name in names]
    yield Step(
        f"say so of {table}",
        (f"ALTER TABLE {table} {', '.join(known)}", f"ALTER TABLE {table} {', '.join(dropped)}"),
        EXCLUSIVE,
    )


def _comes_complete(was: Column | None, column: Column) -> bool:
    return was.not_null if was is not None else column.default is not None


def indexes(state: State, table: str) -> Iterator[Step]:
    """Indexes that are not unique."""
    steps = [
        step
        for index in state.target.catalog.indexes.get(table, {}).values()
        if not index.is_unique
        for step in _index(state, index)
    ]
    if table not in state.old_tables:
        # They were made with their table, unless one was dropped since.
        yield from steps
    elif steps:
        yield Step(
            f"build {len(steps)} indexes of {table}",
            tuple(statement for step in steps for statement in step.statements),
            "",
            # At the pace of the slowest, counted in its rows.
            round(sum(step.seconds for step in steps) * HNSW_RATE),
            HNSW_RATE,
            mode="alone",
        )


def _index(state: State, wanted: Index) -> Iterator[Step]:
    present = state.catalog.indexes.get(wanted.table, {})
    if any(each.valid and each.definition == wanted.definition for each in present.values()):
        return
    if wanted.is_unique:
        yield from _doubles(state, wanted.table, wanted.columns)
    taken = present.get(wanted.name)
    is_leftover = taken is not None and not taken.valid and taken.definition == wanted.definition
    name = wanted.name if taken is None or is_leftover else wanted.name + SPARE
    yield from _build(state, wanted, name)


def _build(state: State, wanted: Index, name: str) -> Iterator[Step]:
    """Builds an index without blocking others. If it is interrupted, it leaves an invalid index behind."""
    left = state.catalog.indexes.get(wanted.table, {}).get(name)
    if left is not None and left.valid:
        return
    statements = [f"DROP INDEX CONCURRENTLY {name}"] if left is not None else []
    is_hnsw = " USING hnsw " in wanted.definition
    yield Step(
        f"build the index {name}",
        (*statements, wanted.create(name)),
        "",
        state.rows[wanted.table],
        HNSW_RATE if is_hnsw else INDEX_RATE,
        mode="alone",
    )


def put_right(state: State, bridge: Bridge) -> Iterator[Step]:
    """Corrects rows from before the bridge, if there may be some."""
    refused = state.refused[bridge.table]
    complete = state.bridges.get(bridge.function) == bridge.body
    if refused or not complete:
        yield bridge.put_right(refused)
