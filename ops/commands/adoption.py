"""`semblance migrate --adopt` and `--finish`: the report, the question, the steps."""

from __future__ import annotations

import typer
from rich.markup import escape
from rich.table import Column, Table

from db.adoption.rules import UNKNOWN_PACK
from db.adoption.run import AdoptionReport, Phase, carry_out, look
from db.adoption.steps import Step
from db.migrate import check_server, current
from deployments.packs.registry import find_digest
from ops.commands.database import open_database
from ops.commands.output import Steps, console
from semblance.errors import AlreadyAdoptedError
from semblance.settings import Settings

_QUESTIONS: dict[Phase, str] = {
    "expand": "Take the database over now? The old app goes on.",
    "finish": "Remove what is left of the old app now? It will not work any more, and there is no way back.",
}
_ENDS: dict[Phase, str] = {
    "expand": "The old app goes on as before. Once it is gone: semblance migrate --finish.",
    "finish": "The schema is that of a new database.",
}


def adopt_database(settings: Settings, phase: Phase, *, pack: str | None, yes: bool) -> bool:
    """Print what a phase would do, ask, and do it; returns whether nothing stands in its way.

    yes: do not ask. Without it, and where nobody can be asked, nothing is changed.

    Raises ConfigurationError, ConflictError, DatabaseError, PackError.
    """
    digest = None if pack is None else find_digest(pack, settings)
    with open_database(settings, as_owner=True) as dsn:
        check_server(dsn)
        try:
            with console.status("Reading the database"):
                report = look(dsn, phase, digest)
        except AlreadyAdoptedError as exc:
            # As `semblance migrate` where the schema is up to date: whoever repeats it has what they want.
            console.print(exc.message)
            return True
        _print(report)
        if report.plan.obstacles:
            return False
        if not yes and not (console.is_terminal and typer.confirm(_QUESTIONS[phase])):
            console.print("Nothing was changed; --yes does it without a question.")
            return True
        with Steps() as steps:

            def show(_: int, step: Step) -> None:
                steps.step(step.title)

            carry_out(dsn, phase, digest, show)
        console.print(f"The schema is at revision {current(dsn)}. {_ENDS[phase]}")
    return True


def _print(report: AdoptionReport) -> None:
    console.print(_tables(report))
    if report.phase == "expand":
        _print_embeddings(report)
    if report.unknown:
        console.print(f"Stays as it is, being nobody's: {', '.join(report.unknown)}.", soft_wrap=True)
    if report.cron:
        console.print("pg_cron goes on calling the old app. Before this service's workers start:")
        for statement in report.cron:
            console.print(f"  {escape(statement)}", soft_wrap=True)
    console.print(_steps(report))
    for obstacle in report.plan.obstacles:
        console.print(f"[red]✗[/] {escape(obstacle.problem)}\n  {escape(obstacle.fix)}", soft_wrap=True)
    if report.plan.obstacles:
        console.print("Nothing was changed, and nothing is begun before this is settled.")


def _print_embeddings(report: AdoptionReport) -> None:
    rows = sum(table.rows for table in report.tables if table.embedded is not None)
    embedded = sum(table.embedded or 0 for table in report.tables)
    known = "of a pack that nobody has named" if report.pack_digest == UNKNOWN_PACK else "of the pack"
    console.print(
        f"{embedded:,} of {rows:,} faces and celebrities have an embedding, {known} "
        f"({report.pack_digest}). They serve as they are; batch.reembed gives them another pack's.",
        soft_wrap=True,
    )


def _tables(report: AdoptionReport) -> Table:
    # Names whole, whatever the width.
    table = Table(
        Column("table", no_wrap=True),
        Column("rows", justify="right", no_wrap=True),
        Column("to come", overflow="fold"),
        Column("of the old app alone", overflow="fold"),
        "put right",
    )
    for each in report.tables:
        refused = f"{each.refused:,} rows" if each.refused else ""
        table.add_row(each.name, f"{each.rows:,}", ", ".join(each.missing), ", ".join(each.extra), refused)
    return table


def _steps(report: AdoptionReport) -> Table:
    table = Table("step", "who waits", Column("about", justify="right"))
    for step in report.plan.steps:
        table.add_row(escape(step.title), step.lock or "nobody", _duration(step.seconds))
    table.add_section()
    table.add_row(f"{len(report.plan.steps)} steps", "", _duration(report.plan.seconds))
    return table


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "< 1 s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
