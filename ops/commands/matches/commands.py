"""`semblance worker` and `rescore`."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.commands.environment import get_settings


def worker(
    once: Annotated[
        bool, typer.Option("--once", help="End when no job is due, and print what was done.")
    ] = False,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Answer Prometheus on this port, for this machine alone."),
    ] = None,
) -> None:
    """Work on match jobs and texts in this process, without Ray: find the matches of uploaded faces, and
    write suggested texts.

    The running service does this by itself. Any number of workers can share the queue, on any machines that
    reach SEMBLANCE_DATABASE_URL and the picture store. If one is killed, the others take its jobs.

    [bold]Examples[/]

      semblance worker
      semblance worker --once
    """
    from ops.commands.matches.worker import run_worker

    run_worker(get_settings(), once=once, metrics_port=metrics_port)


def rescore(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, but write nothing.")] = False,
) -> None:
    """Apply the current weights and threshold to stored matches, using their stored factors.

    New weights take effect at the next search of each face. This command applies them to matches found
    before, without reading a photo or running a model. Matches now below the threshold are removed, except
    matches between users that are liked or that led to a baby picture or a connection. It can run while the
    service runs, notifies nobody, and can be interrupted and repeated. The database is that of
    SEMBLANCE_DATABASE_URL, else the running stack's, else the embedded one, which is started for it.

    [cyan]POST /api/admin/settings/preview[/] shows what other weights would do. To find matches
    that exist only under the new weights, run [cyan]python -m batch.rematch[/].

    [bold]Examples[/]

      semblance rescore --dry-run
      semblance rescore
    """
    from ops.commands.matches.rescore import rescore_matches

    rescore_matches(get_settings(), dry_run=dry_run)
