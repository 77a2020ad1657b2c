"""`semblance rescore`."""

from __future__ import annotations

import asyncio

from rich.table import Column, Table

from batch.progress import JobProgress
from db.audit import audit
from matching.rescore import RescoreReport, Rescoring
from matching.store import Matching, MatchRules
from ops.commands.database import connected, open_database
from ops.commands.output import console
from semblance.errors import ConflictError
from semblance.settings import Settings


def rescore_matches(settings: Settings, *, dry_run: bool) -> None:
    """Rescore all matches by the current rules and print what was done.

    Raises ConflictError if the rules changed meanwhile.
    """
    with open_database(settings) as dsn:
        asyncio.run(_rescore(dsn, dry_run=dry_run))


async def _rescore(dsn: str, *, dry_run: bool) -> None:
    async with connected(dsn) as database:
        matching, rescoring = Matching(database), Rescoring(database)
        rules = await matching.rules()
        console.print(_text(rules), soft_wrap=True)
        if not dry_run:
            async with database.transaction() as connection:
                after = {"matching_weights": rules.weights.as_dict(), "match_threshold": rules.threshold}
                await audit(connection, "rescoring.start", "matches", after=after)
        aside = "to be removed" if dry_run else "removed"
        with JobProgress(console, "matches", await rescoring.count(), aside=aside) as progress:
            report = await rescoring.rescore(rules, dry_run=dry_run, on_progress=progress.advance)
        console.print(_table(report, dry_run=dry_run))
        console.print(
            "To find matches that were never stored but exist under these rules, run "
            "[cyan]python -m batch.rematch[/].",
            soft_wrap=True,
        )
        if await matching.rules() != rules:
            raise ConflictError("The rules were changed meanwhile. Run the command again to do the rest.")


def _text(rules: MatchRules) -> str:
    weights = ", ".join(f"{name} {weight:g}" for name, weight in rules.weights.as_dict().items())
    return f"Weights: {weights}. Threshold: {rules.threshold:g}."


def _table(report: RescoreReport, *, dry_run: bool) -> Table:
    table = Table("", Column("Users", justify="right"), Column("Celebrities", justify="right"))
    for name, done, to_be_done in (
        ("rows", "looked at", "looked at"),
        ("rescored", "rescored", "to be rescored"),
        ("removed", "below the threshold, removed", "below the threshold, to be removed"),
        ("kept", "below the threshold, kept because in use", "below the threshold, kept because in use"),
        ("without_factors", "without factors, left as they are", "without factors, left as they are"),
    ):
        counts = (getattr(part, name) for part in (report.users, report.celebrities))
        table.add_row(to_be_done if dry_run else done, *(f"{count:,}" for count in counts))
    return table
