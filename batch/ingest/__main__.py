"""`python -m batch.ingest`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.console import Console

from batch.cluster import LOCAL
from batch.command import job_command
from batch.ingest.job import IngestOptions, ingest
from batch.ingest.options import (
    BATCH_SIZE,
    MIN_QUALITY,
    Actors,
    AllowPrivateHosts,
    BatchSize,
    Category,
    DryRun,
    Exclude,
    FollowLinks,
    Largest,
    Limit,
    MinQuality,
    ReportFile,
    Source,
)
from batch.ingest.worker import IngestRules


def main(
    source: Source,
    *,
    category: Category = None,
    exclude: Exclude = None,
    follow_links: FollowLinks = False,
    allow_private_hosts: AllowPrivateHosts = False,
    min_quality: MinQuality = MIN_QUALITY,
    largest: Largest = False,
    batch_size: BatchSize = BATCH_SIZE,
    actors: Actors = None,
    limit: Limit = None,
    report: ReportFile = None,
    dry_run: DryRun = False,
    address: Annotated[
        str,
        typer.Option(envvar="RAY_ADDRESS", help="Address of Ray; `local` runs one for this job alone."),
    ] = LOCAL,
) -> None:
    """Fill the gallery with pictures. Each input gets exactly one outcome, in the final table and the report.

    Pictures that are already in the database are skipped, so the same command completes an interrupted run.
    Settings come from the environment (SEMBLANCE_HOME, SEMBLANCE_DATABASE_URL, …).

    \b
    On a running cluster, with the interpreter's absolute path:
      ray job submit --address http://127.0.0.1:8265 -- /opt/semblance/.venv/bin/python \\
        -m batch.ingest /data/celebrities
    On this machine alone:
      python -m batch.ingest --dry-run --limit 100 /data/celebrities
      python -m batch.ingest /data/photos --exclude '*.txt' --exclude drafts
      python -m batch.ingest people.csv --category athletes
      python -m batch.ingest s3://bucket/celebrities --report report.jsonl
    """
    console = Console()
    options = IngestOptions(
        source=source,
        rules=IngestRules(
            min_quality=min_quality,
            largest=largest,
            dry_run=dry_run,
            allow_private_hosts=allow_private_hosts,
        ),
        address=address,
        category=category,
        batch_size=batch_size,
        actors=actors,
        limit=limit,
        report=report,
        exclude=exclude or (),
        follow_links=follow_links,
    )
    with job_command() as settings:
        summary = asyncio.run(ingest(options, settings, console))
        console.print(summary.table())
        console.print(f"report: {summary.report}", highlight=False, soft_wrap=True)
        if failed := summary.counts.get("failed", 0):
            Console(stderr=True).print(
                f"{failed:,} inputs failed, and the report says why. Run the same command again."
            )
            raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
