"""`semblance worker` and `rescore`."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.commands.environment import get_settings


def worker(
    once: Annotated[
        bool, typer.Option("--once", help="End when no job is due, and say what was done.")
    ] = False,
) -> None:
    """Work on match jobs in this process, without Ray: finds the matches of faces that were uploaded.

    The running service does so by itself. Any number of workers share one queue, on any machines that reach
    SEMBLANCE_DATABASE_URL and the storage; a killed one's jobs go to the others.

    [bold]Examples[/]

      semblance worker
      semblance worker --once
    """
    from ops.commands.matches.worker import run_worker

    run_worker(get_settings(), once=once)


def rescore(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, but write nothing.")] = False,
) -> None:
    """Bring the stored matches up to the present weights and threshold, from their stored factors.

    New weights take effect at the next search of each face; this applies them to what was found before,
    without looking at a face or a model. Matches now below the threshold are removed, except those of users
    that are liked, or that something was made or said of. It runs beside the service, notifies nobody, and
    can be interrupted and repeated: what is done already is not done again. Works on SEMBLANCE_DATABASE_URL,
    else on the running stack's database, else on the embedded one, which is started for it.

    [cyan]POST /api/admin/settings/preview[/] tells beforehand what other weights would do. Matches that only
    the new weights make are found by [cyan]python -m batch.rematch[/].

    [bold]Examples[/]

      semblance rescore --dry-run
      semblance rescore
    """
    from ops.commands.matches.rescore import rescore_matches

    rescore_matches(get_settings(), dry_run=dry_run)
