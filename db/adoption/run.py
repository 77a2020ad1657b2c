"""Examines a database of the old app, and takes the steps.

Each step is done whole or not at all, and waits only briefly for its locks, so that the old app never waits
behind it. The steps that are left are read from the database each time, so the next run completes one that
was interrupted.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, TypeVar

import psycopg
from psycopg.rows import class_row, scalar_row

from db.adoption import ddl, dml
from db.adoption import finish as finishing
from db.adoption.bridges import TRIGGER, Bridge, bridge
from db.adoption.catalog import QUERIES, Catalog, read_catalog, set_search_path
from db.adoption.expand import expand
from db.adoption.rules import UNKNOWN_PACK
from db.adoption.state import Dependent, State
from db.adoption.steps import Plan, Step
from db.adoption.target import Target, read_target
from db.dsn import parse_dsn
from db.migrate import connect, current, head, holds_old_app, locked, stamp
from db.pool import TRANSACTION_POOLER_PORTS
from semblance.errors import AlreadyAdoptedError, ConfigurationError, ConflictError, DatabaseError

LOCK_WAIT: Final = "500ms"
"""How long a step waits for a lock, and others behind it. Less than deadlock_timeout, 1 s by default: of two
sessions that wait for each other, the server cancels one after that time, which must not be the old app's."""

ATTEMPTS: Final = 60
PAUSE_S: Final = 0.5

Phase = Literal["expand", "finish"]
OnStep = Callable[[int, Step], None]

_T = TypeVar("_T")

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class TableReport:
    """The state of a table. rows: how many. missing, extra: columns to be added, and those that only the old
    app has. refused: rows that will be corrected. embedded: rows with an embedding, None without such a
    column."""

    name: str
    rows: int
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    refused: int
    embedded: int | None


@dataclass(frozen=True, slots=True)
class AdoptionReport:
    """The state of a database, and the plan. unknown: tables that no document names, which stay. cron: the
    old app's pg_cron jobs, each as the statement that ends it."""

    phase: Phase
    pack_digest: str
    tables: tuple[TableReport, ...]
    unknown: tuple[str, ...]
    cron: tuple[str, ...]
    plan: Plan


def look(dsn: str, phase: Phase, pack_digest: str | None = None) -> AdoptionReport:
    """What a phase would do now. Changes nothing.

    Args:
        pack_digest: for existing embeddings; by default that of an earlier run, else UNKNOWN_PACK.

    Raises ConflictError if the phase is not due, ConfigurationError, DatabaseError.
    """
    _check_phase(dsn, phase)
    with _connected(dsn) as connection:
        return _report(connection, phase, pack_digest, _target(connection))


def carry_out(dsn: str, phase: Phase, pack_digest: str | None = None, on_step: OnStep | None = None) -> None:
    """Take the steps of a phase that are left, one process at a time.

    Args:
        on_step: called before each step, with the number of steps and the step.

    Raises as `look` does, and ConfigurationError if an obstacle is left.
    """
    with locked(dsn):
        _check_phase(dsn, phase)
        with _connected(dsn) as connection:
            target = _target(connection)
            if phase == "finish":
                # Corrections of rows come first, so that the rest is counted right.
                corrections = _rows_only(_report(connection, phase, pack_digest, target).plan)
                _take(connection, corrections, on_step)
            report = _report(connection, phase, pack_digest, target)
            if report.plan.obstacles:
                raise ConfigurationError(
                    "\n".join(f"{each.problem} {each.fix}" for each in report.plan.obstacles)
                )
            _take(connection, report.plan.steps, on_step)
            if phase == "expand":
                connection.execute(QUERIES["keep_foreign_revision"])
        if phase == "expand":
            stamp(dsn)


def _rows_only(plan: Plan) -> list[Step]:
    return [step for step in plan.steps if step.mode == "batches"]


def _check_phase(dsn: str, phase: Phase) -> None:
    if not TRANSACTION_POOLER_PORTS.isdisjoint(parse_dsn(dsn).ports):
        raise ConfigurationError(
            "Indexes cannot be built through a transaction-mode pooler. Name the server "
            "itself in SEMBLANCE_OWNER_DATABASE_URL; on Supabase that is port 5432."
        )
    with connect(dsn) as connection:
        row = connection.execute(QUERIES["is_adopting"]).fetchone()
    is_adopting = row == (True,)
    if phase == "expand" and not holds_old_app(dsn):
        if is_adopting:
            raise AlreadyAdoptedError(
                "This database is adopted. Once the old app is gone: semblance migrate --finish."
            )
        raise ConflictError("There is nothing to adopt: no tables of the old app. Run semblance migrate.")
    if phase == "finish" and (holds_old_app(dsn) or not is_adopting):
        raise ConflictError(
            "There is nothing to finish: "
            + (
                "the adoption is not complete. Run semblance migrate --adopt."
                if holds_old_app(dsn)
                else "this database has nothing of the old app, or was finished before."
            )
        )
    if phase == "finish" and (revision := current(dsn)) != head():
        raise ConflictError(
            f"The schema is at revision {revision}, not {head()}. Run semblance migrate first."
        )


@contextmanager
def _connected(dsn: str) -> Iterator[psycopg.Connection]:
    with connect(dsn) as connection:
        connection.autocommit = True
        for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(f"SET {name} = 0")
        # Notices such as "already exists" are expected.
        connection.execute("SET client_min_messages = error")
        yield connection


def _report(
    connection: psycopg.Connection, phase: Phase, pack_digest: str | None, target: Target
) -> AdoptionReport:
    state, digest = _read(connection, pack_digest, target)
    if phase == "expand":
        plan = expand(state)
    else:
        plan = finishing.finish(state, _broken(connection, state), _used(connection, state))
    return AdoptionReport(
        phase,
        digest,
        tuple(_table(connection, state, name) for name in state.old_tables),
        tuple(finishing.unknown_tables(state)),
        tuple(_cron(connection)),
        plan,
    )


def _read(connection: psycopg.Connection, pack_digest: str | None, target: Target) -> tuple[State, str]:
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        catalog = read_catalog(connection)
        search_path = _value(connection, "SELECT current_setting('search_path')")
        installed: dict[str, str] = dict(connection.execute(QUERIES["bridges"]).fetchall())
        digest = _digest(pack_digest, str(installed.get("bridge_faces", "")))
        tables = _old_tables(connection, catalog, target.catalog)
        bridges = {
            table: found for table in tables if (found := bridge(table, catalog, target, digest)) is not None
        }
        rows = {table: _value(connection, dml.count(table)) for table in catalog.tables}
        refused = {
            table: _count(connection, found, catalog, target.catalog) for table, found in bridges.items()
        }
        with connection.cursor(row_factory=class_row(Dependent)) as cursor:
            dependents = cursor.execute(QUERIES["dependents"]).fetchall()
        other_names: dict[str, str] = dict(connection.execute(QUERIES["other_names"]).fetchall())
        misfits = dict(_misfits(connection, tables, catalog, target.catalog))
        doubled = 0
        if "email" in catalog.columns.get("profiles", {}):
            doubled = _value(connection, QUERIES["doubled_emails"])
    state = State(
        catalog=catalog,
        target=target,
        old_tables=tables,
        rows=rows,
        refused=refused,
        wanted_bridges=bridges,
        bridges=installed,
        search_path=f"pg_catalog, {search_path}, pg_temp",
        doubled_emails=doubled,
        dependents=dependents,
        other_names=other_names,
        misfits=misfits,
    )
    return state, digest


def _target(connection: psycopg.Connection) -> Target:
    def read() -> Target:
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'")
            return read_target(connection)

    return _patiently(read, "the look at the schema")


def _digest(given: str | None, installed: str) -> str:
    found = _DIGEST.search(installed)
    if found is None:
        return given or UNKNOWN_PACK
    if given is not None and given != found[0]:
        raise ConflictError(
            f"The adoption began with the pack {found[0][:12]}, and embeddings have its digest. Go on "
            "without --pack; batch.reembed gives them another one."
        )
    return found[0]


def _old_tables(connection: psycopg.Connection, catalog: Catalog, target: Catalog) -> tuple[str, ...]:
    """In the order of the schema."""
    known = set(catalog.tables)
    if _value(connection, QUERIES["is_adopting"]):
        known = {name for (name,) in connection.execute("SELECT name FROM semblance_adoption.old_tables")}
    return tuple(name for name in target.tables if name in known)


def _count(connection: psycopg.Connection, found: Bridge, catalog: Catalog, target: Catalog) -> int:
    """How many rows a bridge would change; 0 if the count needs a function or type that does not exist
    yet."""
    try:
        with connection.transaction():
            rows: int = _value(connection, found.count(catalog, target))
            return rows
    except (psycopg.errors.UndefinedFunction, psycopg.errors.UndefinedObject):
        return 0


def _misfits(
    connection: psycopg.Connection, tables: Iterable[str], catalog: Catalog, target: Catalog
) -> Iterator[tuple[tuple[str, str], str]]:
    for table in tables:
        for name, column in target.columns[table].items():
            was = catalog.columns[table].get(name)
            # Vectors of another size are set aside.
            if was is None or was.type in {column.type, "vector"}:
                continue
            try:
                with connection.transaction():
                    _value(connection, dml.count(table, what=ddl.converted(was, column)))
            except (psycopg.DataError, psycopg.errors.CannotCoerce) as exc:
                yield (table, name), str(exc.diag.message_primary)


def _broken(connection: psycopg.Connection, state: State) -> dict[tuple[str, str], int]:
    """How many rows break a new constraint and cannot be corrected."""
    conditions = {
        (table, rule.name): f"NOT ({rule.expression})"
        for table in state.old_tables
        for rule in finishing.to_come(state, table)
    }
    conditions |= {
        (table, name): f"{name} IS NULL"
        for table in state.old_tables
        for name in finishing.no_values(state, table)
    }
    refused = {
        table: found.refused
        for table, found in state.wanted_bridges.items()
        if TRIGGER in state.catalog.triggers.get(table, {})
    }
    return {
        (table, rule): _value(
            connection, dml.count(table, f"({condition}) AND ({refused.get(table, 'false')}) IS NOT TRUE")
        )
        for (table, rule), condition in conditions.items()
    }


def _used(connection: psycopg.Connection, state: State) -> dict[tuple[str, str], int]:
    used = {
        (table, name): _value(connection, dml.count(table, what=name))
        for table in state.old_tables
        for name in finishing.gone(state, table)
    }
    return used | {(name, ""): _value(connection, dml.count(name)) for name in finishing.old_tables(state)}


def _table(connection: psycopg.Connection, state: State, name: str) -> TableReport:
    present, wanted = state.catalog.columns[name], state.target.catalog.columns[name]
    embedded = None
    if "embedding" in present and "embedding" in wanted:
        embedded = _value(connection, dml.count(name, what="embedding"))
    return TableReport(
        name,
        state.rows[name],
        tuple(each for each in wanted if each not in present),
        tuple(each for each in present if each not in wanted),
        state.refused.get(name, 0),
        embedded,
    )


def _cron(connection: psycopg.Connection) -> list[str]:
    if _value(connection, "SELECT to_regclass('cron.job') IS NULL"):
        return []
    return [
        f"SELECT cron.unschedule({number});  -- {name or command}, {schedule}"
        for number, name, schedule, command in connection.execute(QUERIES["cron_jobs"]).fetchall()
    ]


def _value(connection: psycopg.Connection, query: str) -> Any:
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(query.encode()).fetchone()


def _take(connection: psycopg.Connection, steps: list[Step], on_step: OnStep | None) -> None:
    for step in steps:
        if on_step is not None:
            on_step(len(steps), step)
        set_search_path(connection, session=True)
        if step.mode == "batches":
            _take_batches(connection, step)
        elif step.mode == "alone":
            # It may wait, because nobody waits for it.
            connection.execute("SET lock_timeout = 0")
            for statement in step.statements:
                connection.execute(statement.encode())
        else:
            _patiently(partial(_take_at_once, connection, step), step.title)


def _take_at_once(connection: psycopg.Connection, step: Step) -> None:
    with connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'")
        for statement in step.statements:
            connection.execute(statement.encode())


def _take_batches(connection: psycopg.Connection, step: Step) -> None:
    (statement,) = step.statements
    last: str | None = None
    while True:
        last = _patiently(partial(_take_batch, connection, statement, last), step.title)
        if last is None:
            return


def _take_batch(connection: psycopg.Connection, statement: str, last: str | None) -> str | None:
    with connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'".encode())
        row = psycopg.RawCursor(connection).execute(statement.encode(), [last]).fetchone()
        return None if row is None else str(row[0])


def _patiently(act: Callable[[], _T], what: str) -> _T:
    """Try again while another session holds a lock."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return act()
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as exc:
            if attempt == ATTEMPTS:
                raise DatabaseError(
                    f"No lock could be taken for a minute: {what}. Look in pg_stat_activity for a long "
                    "transaction, then run the command again; it continues where it stopped."
                ) from exc
            time.sleep(PAUSE_S)
    raise AssertionError
