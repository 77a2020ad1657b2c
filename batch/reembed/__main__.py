"""`python -m batch.reembed`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from batch.cluster import LOCAL
from batch.command import job_command
from batch.reembed.job import (
    BATCH_SIZE,
    SAMPLE,
    ReembedOptions,
    check_owner,
    choose_pack,
    compare,
    drop,
    fill,
    switch,
)
from deployments.packs.registry import find_digest, is_digest
from semblance.errors import BadInputError, ConflictError
from semblance.settings import Settings
from semblance.types import ModelInfo


def main(
    *,
    pack: Annotated[
        str,
        typer.Option(
            help="The pack to embed by: a name or path, as in SEMBLANCE_PACK. For --switch and --drop also "
            "the digest of stored embeddings."
        ),
    ],
    to_switch: Annotated[
        bool,
        typer.Option("--switch", help="Embed what is left, then put this pack in force."),
    ] = False,
    allow_missing: Annotated[
        int,
        typer.Option(
            min=0,
            help="Switch although this many rows have no embedding by this pack, so that its searches do not "
            "find them.",
        ),
    ] = 0,
    to_drop: Annotated[
        bool,
        typer.Option("--drop", help="Remove this pack's embeddings; another one must be in force."),
    ] = False,
    sample: Annotated[
        int, typer.Option(min=0, help="Faces whose best celebrities are compared; 0 for none.")
    ] = SAMPLE,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Pictures that a worker holds at a time.")
    ] = BATCH_SIZE,
    actors: Annotated[
        int | None, typer.Option(min=1, help="Workers; one per core of the cluster.", show_default=False)
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="File for what was not embedded, JSON lines; <home>/reports/reembed-<time>.jsonl.",
            show_default=False,
        ),
    ] = None,
    address: Annotated[
        str,
        typer.Option(envvar="RAY_ADDRESS", help="Address of Ray; `local` runs one for this job alone."),
    ] = LOCAL,
) -> None:
    """Change the model pack: embed all faces and celebrities again while the old pack serves, then switch.

    Embeds the stored pictures of all rows that have no embedding by PACK, stores these embeddings next to
    those that serve, and reports how much of the best 20 would change. --switch puts the pack in force.
    Searches go on throughout. The same command completes an interrupted run. The exit status is 1 if rows are
    left without an embedding.

    \b
    From open to buffalo_l; --switch and --drop need the database's owner (SEMBLANCE_OWNER_DATABASE_URL):
      python -m batch.reembed --pack buffalo_l
      python -m batch.reembed --pack buffalo_l --switch
      SEMBLANCE_PACK=buffalo_l semblance up       # restart with the new pack, then:
      python -m batch.reembed --pack buffalo_l    # what came in between
      python -m batch.rematch
    Back again, or for good:
      python -m batch.reembed --pack open --switch
      python -m batch.reembed --pack open --drop
    On a running cluster, with the interpreter's absolute path:
      ray job submit --address http://127.0.0.1:8265 -- /opt/semblance/.venv/bin/python \\
        -m batch.reembed --pack buffalo_l
    """
    console = Console()
    with job_command() as settings:
        if to_drop and to_switch:
            raise BadInputError("--switch and --drop exclude each other.")
        if to_drop:
            complete = asyncio.run(_drop(settings, pack, console))
        elif to_switch and is_digest(pack):
            complete = asyncio.run(_switch_back(settings, pack, console, allow_missing=allow_missing))
        else:
            options = ReembedOptions(address, batch_size, actors, report)
            complete = asyncio.run(
                _change(
                    settings,
                    pack,
                    options,
                    console,
                    sample=sample,
                    to_switch=to_switch,
                    allow_missing=allow_missing,
                )
            )
        if not complete:
            raise typer.Exit(1)


async def _change(
    settings: Settings,
    pack: str,
    options: ReembedOptions,
    console: Console,
    *,
    sample: int,
    to_switch: bool,
    allow_missing: int,
) -> bool:
    """Everything but --drop. Returns whether every row has an embedding by the pack."""
    settings, model = choose_pack(settings, pack)
    if to_switch:
        # Before hours of work, not after them.
        await check_owner(settings)
    summary = await fill(options, settings, model, console)
    for table in summary.tables():
        console.print(table)
    if summary.missing:
        console.print(f"report: {summary.report}", highlight=False, soft_wrap=True)
    if not summary.missing and (summary.in_force or not summary.embedded):
        made = f"{model.pack} {model.digest[:12]} is in force and has embedded all {summary.embedded:,} rows"
        why = made if summary.embedded else "no face and no celebrity has an embedding"
        console.print(f"Nothing is left to do: {why}.", highlight=False, soft_wrap=True)
        return True
    overlap = await compare(settings, model, sample)
    if overlap is not None:
        console.print(overlap.table())
    if not to_switch:
        return not summary.missing
    if summary.missing > allow_missing:
        raise ConflictError(
            f"{summary.missing:,} faces and celebrities have no embedding by {model.pack}, so nothing was "
            f"switched. {summary.report} says why. Run the command again, or leave them behind with "
            f"--allow-missing {summary.missing}."
        )
    if summary.in_force:
        console.print(f"Nothing was switched: {model.pack} is in force already.", highlight=False)
        return True
    await _switch(settings, model, console, allow_missing=allow_missing)
    console.print(
        f"Next: unless the service already runs with SEMBLANCE_PACK={pack}, restart it with that. Then run "
        "this command without --switch for what came in meanwhile, and python -m batch.rematch.",
        highlight=False,
        soft_wrap=True,
    )
    return True


async def _switch_back(settings: Settings, digest: str, console: Console, *, allow_missing: int) -> bool:
    """Switch to stored embeddings of a pack that is not installed, such as that of an adopted database."""
    await check_owner(settings)
    await _switch(settings, ModelInfo("the pack", digest), console, allow_missing=allow_missing)
    return True


async def _switch(settings: Settings, model: ModelInfo, console: Console, *, allow_missing: int) -> None:
    switched = await switch(settings, model, console, allow_missing=allow_missing)
    console.print(
        f"{model.pack} {model.digest[:12]} is in force now, for {switched['faces']:,} faces and "
        f"{switched['celebrities']:,} celebrities.",
        highlight=False,
        soft_wrap=True,
    )


async def _drop(settings: Settings, pack: str, console: Console) -> bool:
    await check_owner(settings)
    dropped = await drop(settings, find_digest(pack, settings), console)
    console.print(
        f"Removed the embeddings of {dropped['faces']:,} faces and {dropped['celebrities']:,} celebrities."
    )
    return True


if __name__ == "__main__":
    typer.run(main)
