"""The options of an ingestion, shared by `python -m batch.ingest` and `semblance ingest`.

Apart from the job, whose imports take seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

Source: TypeAlias = Annotated[
    str,
    typer.Argument(
        help="A folder `<category>/<picture>` with an optional metadata.json; a manifest (.csv, .tsv, "
        ".jsonl, .parquet) with the columns image, name, bio, category, gender; or the s3:// URL of either. "
        "ingestion:ID is one of the console's."
    ),
]
Category: TypeAlias = Annotated[
    str | None,
    typer.Option("--category", help="Category of pictures without one.", show_default=False),
]
Exclude: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="GLOB",
        help="Leave out files and folders of this name, or with a slash of this path, in addition to hidden "
        "ones and those of NAS and desktops (@eaDir, Thumbs.db, …). May be repeated.",
        show_default=False,
    ),
]
FollowLinks: TypeAlias = Annotated[
    bool, typer.Option("--follow-links", help="Follow links out of the folder.")
]
AllowPrivateHosts: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--allow-private-hosts",
        help="Accept URLs of hosts that are not on the public internet, and use proxies.",
    ),
]
MinQuality: TypeAlias = Annotated[
    float, typer.Option("--min-quality", min=0, max=1, help="Lowest overall quality of a face, 0..1.")
]
Largest: TypeAlias = Annotated[
    bool, typer.Option("--largest", help="Take the largest face of a picture with several.")
]
BatchSize: TypeAlias = Annotated[
    int, typer.Option("--batch-size", min=1, help="Pictures a worker holds at a time.")
]
Actors: TypeAlias = Annotated[
    int | None,
    typer.Option("--actors", min=1, help="Workers; one per core of the cluster.", show_default=False),
]
Limit: TypeAlias = Annotated[
    int | None, typer.Option("--limit", min=1, help="Take only the first N inputs.", show_default=False)
]
ReportFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--report",
        resolve_path=True,
        help="File for the report, JSON lines; <home>/reports/ingest-<time>.jsonl.",
        show_default=False,
    ),
]
DryRun: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Analyze and report, but store nothing.")]

MIN_QUALITY = 0.6
"""The lowest quality at which faces are matched."""

BATCH_SIZE = 32
"""Pictures that one worker holds at a time: enough to make Ray's cost of a task negligible, and at most
320 MB at 10 MB a picture."""
