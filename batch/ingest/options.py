"""The options of an ingestion, once for `python -m batch.ingest` and `semblance ingest`.

Apart from the job: its imports take seconds, and set up Ray's environment for this process and its children.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

Source: TypeAlias = Annotated[
    str,
    typer.Argument(
        help="A folder `<category>/<picture>` with an optional metadata.json; a manifest (.csv, .tsv, "
        ".jsonl, .parquet) with the columns image, name, bio, category, gender; or either as s3:// URL."
    ),
]
Category: TypeAlias = Annotated[
    str | None,
    typer.Option("--category", help="Category of the pictures that state none.", show_default=False),
]
Exclude: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="GLOB",
        help="Leave out files and folders of this name, or with a slash of this path, beside hidden ones and "
        "the leavings of NAS and desktops (@eaDir, Thumbs.db, …); several are possible.",
        show_default=False,
    ),
]
FollowLinks: TypeAlias = Annotated[
    bool, typer.Option("--follow-links", help="Take also what links in the folder name outside it.")
]
AllowPrivateHosts: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--allow-private-hosts",
        help="Let a manifest's URLs name hosts that are not on the public internet, and use proxies.",
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
    int | None, typer.Option("--limit", min=1, help="Take only the first inputs.", show_default=False)
]
ReportFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--report",
        resolve_path=True,
        help="File of the report, JSON lines; <home>/reports/ingest-<time>.jsonl.",
        show_default=False,
    ),
]
DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Describe and report, but store and write nothing.")
]

MIN_QUALITY = 0.6
"""The limit that matching asks of a face."""

BATCH_SIZE = 32
"""Pictures one worker holds at a time: enough that Ray's cost of a task vanishes, and at 10 MB a picture
at most 320 MB."""
