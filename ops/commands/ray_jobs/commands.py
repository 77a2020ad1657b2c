"""`semblance ingest` and `semblance jobs`."""

from __future__ import annotations

from typing import Annotated

import typer

from batch.ingest import options as ingest_options
from ops.commands.arguments import given_options
from ops.commands.environment import get_settings

jobs = typer.Typer(
    no_args_is_help=True, help="Ray jobs of the running stack, such as ingestions, and the queues."
)


def ingest(
    context: typer.Context,
    source: ingest_options.Source,
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Submit, print the job's id and return.")] = False,
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
    """Fill the gallery: submit the ingestion as a Ray job and follow it.

    A source folder holds a folder for each category and a [cyan]metadata.json[/] with names. Photos that
    cannot be used, for example because they show several faces, are listed in a report with the reason. An
    ingestion can be interrupted and repeated: it skips what is already stored. Ctrl-C stops following, not
    the job. The exit status is the job's, or 3 if the service is stopped meanwhile.

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
    """List all Ray jobs since Ray was last started, with their status."""
    from ops.commands.ray_jobs.jobs import list_jobs

    list_jobs(get_settings())


@jobs.command("queues")
def jobs_queues() -> None:
    """Show how many match jobs and jobs of texts wait, are in work, are done and have failed, how long they
    take, and why they failed."""
    from ops.commands.ray_jobs.queues import show_queues

    show_queues(get_settings())


@jobs.command("follow")
def jobs_follow(job_id: Annotated[str, typer.Argument(help="Id from `semblance jobs list`.")]) -> None:
    """Print the log of a job from its beginning until the job ends; the exit status is the job's."""
    from ops.commands.ray_jobs.jobs import follow_job

    raise typer.Exit(follow_job(get_settings(), job_id))


@jobs.command("stop")
def jobs_stop(job_id: Annotated[str, typer.Argument(help="Id from `semblance jobs list`.")]) -> None:
    """Ask a job to end. An ingestion that was stopped can be submitted again and continues where it was."""
    from ops.commands.ray_jobs.jobs import stop_job

    stop_job(get_settings(), job_id)
