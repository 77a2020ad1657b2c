"""`semblance demo`: from an empty folder to a table of lookalikes."""

from __future__ import annotations

import time
from http import HTTPStatus
from pathlib import Path

import httpx
from rich.markup import escape
from rich.table import Table

from ops.commands.output import Steps, console, print_curl, print_state
from ops.commands.ray_jobs.jobs import ingestion_command
from ops.commands.service.attach import hold, running_stack
from ops.commands.service.demo_gallery import DemoPhoto, prepare_gallery
from ops.commands.service.stack import print_console
from ops.stack.home import StackHome
from ops.stack.jobs import Jobs
from ops.stack.state import StackState
from semblance.errors import ConfigurationError
from semblance.settings import Settings

LIMIT = 5


def run_demo(settings: Settings, *, gallery: Path | None, probe: Path | None, once: bool) -> bool:
    """Start the stack, ingest the gallery, post the photos, print the answers, and stay until Ctrl-C.

    A stack that already runs is used and left running.

    Args:
        settings: of the command.
        gallery: folder to ingest. None: one made of photos from installed packages.
        probe: photo to find lookalikes of. None: photos from installed packages.
        once: return after printing.

    Returns whether every photo was answered with lookalikes. Raises SemblanceError.
    """
    for given, kind in ((gallery, "gallery"), (probe, "probe")):
        if given is not None and not given.exists():
            raise ConfigurationError(f"The {kind} {given} does not exist.")
    with Steps() as steps:
        if gallery is None or probe is None:
            steps.step("Demo photos")
            home = StackHome.of(settings)
            home.prepare()
            own_gallery, probes = prepare_gallery(home.root / "demo", settings)
            gallery = gallery or own_gallery
        if probe is not None:
            probes = [DemoPhoto(probe.name, probe)]
        with running_stack(settings, steps) as (state, started):
            steps.step("Ingestion (Ray job)")
            log = _ingest(state, gallery)
            steps.end()
            console.print(log, markup=False, highlight=False, soft_wrap=True)
            answered = [_show_lookalikes(state, each) for each in probes]
            if once and started is not None:
                # The addresses and the key are useless once it ends.
                console.print("Stopping it again; [cyan]semblance up --detach[/] keeps it running.")
                return all(answered)
            print_state(state, title="Ready")
            print_console(settings, state)
            console.print("Or by a request:")
            print_curl(state, str(probes[0].file))
            if started is None:
                return all(answered)
            console.print("\nCtrl-C stops everything.")
            hold(started)


def _ingest(state: StackState, gallery: Path) -> str:
    """Run the ingestion and return its log. Raises ConfigurationError with the log if it fails."""
    jobs = Jobs(state)
    chunks: list[str] = []
    job_id = jobs.submit(ingestion_command(str(gallery)))
    if jobs.follow(job_id, chunks.append):
        raise ConfigurationError(f"The ingestion failed: {jobs.message(job_id)}\n{''.join(chunks)}")
    return "".join(chunks).strip()


def _show_lookalikes(state: StackState, probe: DemoPhoto) -> bool:
    """Post one photo and print the answer. Returns whether it has lookalikes."""
    with httpx.Client(
        base_url=state.url,
        headers={"Authorization": f"Bearer {state.api_key}"},
        trust_env=False,
        timeout=60.0,
    ) as client:
        content = probe.file.read_bytes()
        began = time.perf_counter()
        response = client.post(
            "/lookalikes", params={"limit": LIMIT}, files={"file": (probe.file.name, content)}
        )
        milliseconds = 1000 * (time.perf_counter() - began)
    answer = response.json()
    if response.status_code != HTTPStatus.OK:
        console.print(f"[red]{escape(probe.title)}:[/] {escape(answer['error'])} ({response.status_code})")
        return False
    console.print(f"[bold]Who looks like {escape(probe.title)}?[/]")
    table = Table()
    table.add_column("#", justify="right")
    table.add_column("Who")
    table.add_column("Category")
    table.add_column("Similarity", justify="right")
    table.add_column("Time", justify="right")
    for rank, match in enumerate(answer["matches"], start=1):
        table.add_row(
            str(rank),
            escape(match["name"]),
            escape(match["category"] or ""),
            f"{match['similarity']:.3f}",
            f"{milliseconds:.0f} ms" if rank == 1 else "",
        )
    console.print(table)
    return True
