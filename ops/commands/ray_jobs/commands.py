"""`semblance ingest` and `semblance jobs`."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.commands.arguments import given_options
from ops.commands.environment import get_settings
from semblance import ingest_options

jobs = typer.Typer(no_args_is_help=True, help="Ray jobs of the running stack, ingestions among them.")


def ingest(
    context: typer.Context,
    source: ingest_options.Source,
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Submit and return; prints the job's id.")] = False,
    category: ingest_options.Category = None,
    exclude: ingest_options.Exclude = None,
    follow_links: ingest_options.FollowLinks = False,
    allow_private_hosts: ingest_options.AllowPrivateHosts = False,
    min_quality: ingest_options.MinQuality = ingest_options.MIN_QUALITY,
    largest: ingest_options.Largest = False,
    batch_size: ingest_options.BatchSize = ingest_options.BATCH_SIZE,
    actors: ingest_options.Actors = None,
    limit: ingest_options.Limit = None,
    report: ingest_options.ReportFile = None,
    dry_run: ingest_options.DryRun = False,
) -> None:
    """Fill the gallery: submits the ingestion as a Ray job and follows it.

    A folder holds one folder per category and a [cyan]metadata.json[/] with names. What cannot be used, such
    as a photo with several faces, goes to a report with the reason. It can be interrupted and repeated:
    what is stored already is skipped. Ctrl-C ends the following, not the job. The exit status is the job's,
    or 3 where the service is stopped under it.

    [bold]Examples[/]

      semblance ingest ./celebrities
      semblance ingest --dry-run ./celebrities
      semblance ingest people.csv --category athletes
      semblance ingest /volume1/photo --exclude drafts --exclude '*.txt'
      semblance ingest s3://bucket/celebrities
    """
    from ops.commands.ray_jobs.jobs import ingest_source

    options = given_options(context, without={"detach"})
    raise typer.Exit(ingest_source(get_settings(), source, options, follow=not detach))


@jobs.command("list")
def jobs_list() -> None:
    """All jobs since the stack was started, and how they are doing."""
    from ops.commands.ray_jobs.jobs import list_jobs

    list_jobs(get_settings())


@jobs.command("follow")
def jobs_follow(job_id: Annotated[str, typer.Argument(help="As `semblance jobs list` shows it.")]) -> None:
    """Print a job's log from its beginning until it ends; the exit status is the job's."""
    from ops.commands.ray_jobs.jobs import follow_job

    raise typer.Exit(follow_job(get_settings(), job_id))


@jobs.command("stop")
def jobs_stop(job_id: Annotated[str, typer.Argument(help="As `semblance jobs list` shows it.")]) -> None:
    """Ask a job to end. A stopped ingestion can be submitted again and goes on where it was."""
    from ops.commands.ray_jobs.jobs import stop_job

    stop_job(get_settings(), job_id)
