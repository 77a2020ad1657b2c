"""`semblance ingest` and `semblance jobs`."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Column, Table

from db.audit import audit
from ops.commands.database import connected, open_database
from ops.commands.output import console, errors, fail
from ops.stack.front import require_running
from ops.stack.jobs import Jobs
from semblance.errors import RayJobLostError
from semblance.interpreters import python_command
from semblance.settings import Settings

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_INTERRUPTED = 130

_LOST = 3
"""Exit status if the service stops while a job is followed, the same as that of `semblance status`."""


def ingest_source(settings: Settings, source: str, options: Sequence[str], *, follow: bool) -> int:
    """Submit `batch.ingest` and, with `follow`, follow it. Returns the exit status."""
    jobs = Jobs(require_running(settings))
    job_id = jobs.submit(ingestion_command(source, options))
    if not follow:
        console.print(job_id)
        return 0
    return _follow(jobs, job_id)


def ingestion_command(source: str, options: Sequence[str] = ()) -> str:
    """The command of the Ray job. A local source becomes absolute, since jobs start in a folder of Ray's."""
    if not _ADDRESS.match(source):
        source = str(Path(source).expanduser().absolute())
    return python_command("batch.ingest", [source, *options])


def list_jobs(settings: Settings) -> None:
    """Print a table of all Ray jobs. Raises ConfigurationError if no stack runs."""
    # The id is copied, so it is never cut. Without lines between them, 80 characters leave room for commands.
    table = Table(Column("Job", no_wrap=True), "Status", "Submitted", "Command", box=None, pad_edge=False)
    colours = {"SUCCEEDED": "green", "FAILED": "red", "STOPPED": "yellow"}
    for job in Jobs(require_running(settings)).list():
        submitted = f"{job.submitted.astimezone():%Y-%m-%d %H:%M}" if job.submitted else ""
        colour = colours.get(job.status, "cyan")
        table.add_row(
            job.job_id, f"[{colour}]{job.status}[/]", submitted, escape(_without_interpreter(job.command))
        )
    console.print(table)


def _without_interpreter(command: str) -> str:
    """The module and its arguments, which is what distinguishes jobs."""
    return re.sub(r"^.*? -m (?=batch\.)", "", command)


def follow_job(settings: Settings, job_id: str) -> int:
    """Print the log until the job ends. Returns the exit status."""
    return _follow(Jobs(require_running(settings)), job_id)


def stop_job(settings: Settings, job_id: str) -> None:
    """Ask a job to end. Raises NotFoundError."""
    stopped = Jobs(require_running(settings)).stop(job_id)
    if stopped:
        with open_database(settings) as dsn:
            asyncio.run(_record_stop(dsn, job_id))
    console.print("Asked to stop." if stopped else "The job had already ended.")


async def _record_stop(dsn: str, job_id: str) -> None:
    async with connected(dsn) as database, database.transaction() as connection:
        await audit(connection, "ray_job.stop", job_id, after={"status": "stopped"})


def _follow(jobs: Jobs, job_id: str) -> int:
    try:
        exit_status = jobs.follow(job_id, _write)
    except KeyboardInterrupt:
        errors.print(
            f"\nThe job continues. Follow it: [cyan]semblance jobs follow {job_id}[/]\n"
            f"                  Stop it:   [cyan]semblance jobs stop {job_id}[/]"
        )
        return _INTERRUPTED
    except RayJobLostError as exc:
        fail(exc.message)
        return _LOST
    if exit_status:
        errors.print(f"[bold red]The job failed:[/] {escape(jobs.message(job_id))}")
    return exit_status


def _write(chunk: str) -> None:
    sys.stdout.write(chunk)
    sys.stdout.flush()
