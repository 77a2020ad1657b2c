"""Photos per second over HTTP, compared with the bare limit and with the service as it was first planned.

(a) bare: the same work in as many one-thread, non-spinning processes as cores; no HTTP, no Ray.
(b) flask: one threaded process, default sessions of two threads, full-size decoding, the same nets, the
    detector as published (float, whole canvas).
(c) as (b), with Semblance's faster detector: what is left is the difference of the architectures.
(d) serve: the four deployments on Ray Serve with its defaults, and nothing around them.

Semblance is started ROUNDS times, and the bare limit is measured before each and after the last: what else
the machine does falls on both. Of each number the median counts.

Two tables say where the CPU time of a photo goes: in one process by step, and in the stack by process. The
second also says what memory each part takes.

    python -m benchmarks.photo_path --photos FOLDER
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated
from unittest.mock import patch

import httpx
import psutil
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.bare import run_bare
from benchmarks.load import LoadResult, run_load
from benchmarks.photo_steps import PhotoSteps, measure_steps
from benchmarks.rounds import median_round
from benchmarks.serve_service import READY
from ops.stack.home import StackHome
from ops.stack.ports import free_ports
from ops.stack.processes import members
from ops.stack.ray_head import COMPUTING, LOOPBACK

PATH = "/analyze-face-advanced"
CONNECTIONS = (1, 8, 16)
ROUNDS = 3

PARTS = {
    "gateway": "haproxy",
    "decoding processes": "deployments.faces.decoder_main",
    "detector replicas": "ServeReplica:semblance:Detector",
    "embedder replica": "ServeReplica:semblance:Embedder",
    "analyzer replica": "ServeReplica:semblance:Analyzer",
    "API replica": "ServeReplica:semblance:API",
    "matcher and writer": "ServeReplica:semblance:",
    "Serve's proxy": "ray::ProxyActor",
    "Serve's controller": "ray::ServeController",
    "PostgreSQL": "postgres",
    "Ray's GCS": "gcs_server",
    "Ray's raylet": "raylet/raylet",
    "Ray's agents": "Agent",
    "Ray's dashboard": "dashboard",
    "Ray's log monitor": "log_monitor",
    "supervisor and the rest": "",
}
"""Where CPU time goes: the first pattern found in a process's command line names its part."""

IDLE_SECONDS = 5.0
"""How long the stack is watched without requests."""


@dataclass(frozen=True, slots=True)
class StackTimes:
    """The runs by number of connections; the CPU milliseconds of a photo in each part of the stack at the
    most connections, and the percentage of a core that each part takes without requests. rest_mb, busy_mb:
    MB of memory, before the first request and at most under load; shared pages are divided among those that
    share them."""

    runs: list[LoadResult]
    cpu_ms: dict[str, float]
    idle: dict[str, float]
    rest_mb: dict[str, float]
    busy_mb: dict[str, float]


def main(
    photos: Annotated[Path, typer.Option(help="Folder of photos, each with a face.")],
    requests: Annotated[int, typer.Option(help="Requests per connection count.")] = 480,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Measure Semblance, the bare limit and the planned Flask service in one run."""
    pictures = [path.read_bytes() for path in sorted(photos.iterdir()) if path.is_file()]
    console = Console(stderr=as_json)
    cores = len(os.sched_getaffinity(0))
    console.print(f"{len(pictures)} photos, {cores} cores, load {os.getloadavg()[0]:.2f} at start")

    with (
        patch.dict(os.environ, COMPUTING),
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process,
    ):
        steps = process.submit(measure_steps, pictures, requests).result()
    flask = measure_flask(pictures, requests)
    faster = measure_flask(pictures, requests, "--shared-detector")
    plain = measure_serve(pictures, requests)
    bare, stacks = [run_bare(pictures, requests, cores, max_faces=1)], list[StackTimes]()
    for _ in range(ROUNDS):
        stacks.append(measure_semblance(pictures, requests))
        bare.append(run_bare(pictures, requests, cores, max_faces=1))
    limit = statistics.median(bare)
    stack = median_round(stacks, lambda times: times.runs[-1].per_second)
    ours = [
        median_round(runs, lambda run: run.per_second)
        for runs in zip(*(times.runs for times in stacks), strict=True)
    ]

    table = Table(title=f"POST {PATH}")
    for heading in ("", "connections", "photos/s", "of bare", "p50 ms", "p99 ms", "failed"):
        table.add_column(heading, justify="right" if heading else "left")
    table.add_row("bare (a)", "-", f"{limit:.1f}", "1.00", f"{steps.p50_ms:.0f}", "", "")
    for name, results in (
        ("flask (b)", flask),
        ("flask, our detector (c)", faster),
        ("Ray Serve, defaults (d)", plain),
        ("semblance", ours),
    ):
        for run in results:
            table.add_row(
                name,
                str(run.connections),
                f"{run.per_second:.1f}",
                f"{run.per_second / limit:.2f}",
                f"{run.p50_ms:.0f}",
                f"{run.p99_ms:.0f}",
                str(sum(run.failures.values())),
            )
    console.print(table)
    console.print(steps_table(steps))
    console.print(stack_table(stack, cores / limit))
    console.print(f"bare, in turn: {', '.join(f'{speed:.1f}' for speed in bare)} photos/s")
    busiest = ", ".join(f"{times.runs[-1].per_second:.1f}" for times in stacks)
    console.print(f"semblance at {CONNECTIONS[-1]} connections, in turn: {busiest} photos/s")
    ratios = {
        "semblance_to_bare_at_16": ours[-1].per_second / limit,
        "p50_at_1_to_bare": ours[0].p50_ms / steps.p50_ms,
        "semblance_to_flask_at_1": ours[0].per_second / flask[0].per_second,
        "semblance_to_flask_at_16": ours[-1].per_second / flask[-1].per_second,
        "semblance_to_serve_at_1": ours[0].per_second / plain[0].per_second,
        "semblance_to_serve_at_16": ours[-1].per_second / plain[-1].per_second,
        "semblance_to_flask_with_our_detector_at_1": ours[0].per_second / faster[0].per_second,
        "semblance_to_flask_with_our_detector_at_16": ours[-1].per_second / faster[-1].per_second,
    }
    for name, value in ratios.items():
        console.print(f"{name}: {value:.2f}")
    if as_json:
        measured: dict[str, object] = {
            "bare": bare,
            "bare_per_second": limit,
            "flask": [asdict(run) for run in flask],
            "flask_shared_detector": [asdict(run) for run in faster],
            "serve": [asdict(run) for run in plain],
            "semblance": [asdict(run) for run in ours],
            "semblance_rounds": [[asdict(run) for run in times.runs] for times in stacks],
            "bare_p50_ms": steps.p50_ms,
            "bare_cpu_ms_by_step": steps.cpu_ms,
            "semblance_cpu_ms_by_part_at_16": stack.cpu_ms,
            "semblance_idle_percent_by_part": stack.idle,
            "semblance_mb_at_rest_by_part": stack.rest_mb,
            "semblance_mb_under_load_by_part": stack.busy_mb,
        }
        print(json.dumps({"benchmark": "photo_path", "results": measured, "ratios": ratios}))


def measure_flask(pictures: list[bytes], requests: int, *options: str) -> list[LoadResult]:
    """Start the planned service, measure it, stop it."""
    port = free_ports({"flask": ("127.0.0.1", 0)})["flask"]
    server = subprocess.Popen([sys.executable, "-m", "benchmarks.flask_service", str(port), *options])
    try:
        url = f"http://127.0.0.1:{port}{PATH}"
        wait_until_up(f"http://127.0.0.1:{port}/")
        return measure(url, pictures, requests)
    finally:
        server.terminate()
        server.wait()


def measure_serve(pictures: list[bytes], requests: int) -> list[LoadResult]:
    """Start the plain deployments on a Ray of their own, measure them, stop them."""
    port = free_ports({"serve": (LOOPBACK, 0)})["serve"]
    environment = {**os.environ, **COMPUTING, "RAY_USAGE_STATS_ENABLED": "0"}
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.serve_service", str(port)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        if not any(line.strip() == READY for line in server.stdout):
            raise RuntimeError("the plain deployments did not start")
        return measure(f"http://{LOOPBACK}:{port}{PATH}", pictures, requests)
    finally:
        server.terminate()
        server.wait()


def measure_semblance(pictures: list[bytes], requests: int) -> StackTimes:
    """Start a separate stack in a temporary home, measure it, stop it."""
    with tempfile.TemporaryDirectory(prefix="semblance-benchmark-") as folder:
        command = str(Path(sys.executable).with_name("semblance"))
        env = {**os.environ, "SEMBLANCE_HOME": folder}
        subprocess.run([command, "up", "--detach"], env=env, check=True, stdout=sys.stderr)
        try:
            status = subprocess.run([command, "status", "--json"], env=env, check=True, capture_output=True)
            stack, home = json.loads(status.stdout), StackHome(Path(folder).resolve())
            url, key = stack["url"] + PATH, stack["api_key"]
            time.sleep(IDLE_SECONDS)
            rest_mb = megabytes(home)
            runs = measure(url, pictures, requests, key)
            before = cpu_seconds(home)
            load(url, pictures, requests, key)
            after = cpu_seconds(home)
            time.sleep(IDLE_SECONDS)
            later = cpu_seconds(home)
            return StackTimes(
                runs,
                {part: 1000 * (after[part] - before[part]) / requests for part in PARTS},
                {part: 100 * (later[part] - after[part]) / IDLE_SECONDS for part in PARTS},
                rest_mb,
                busy_megabytes(home, lambda: load(url, pictures, requests, key)),
            )
        finally:
            subprocess.run([command, "down"], env=env, check=True, stdout=sys.stderr)


def load(url: str, pictures: list[bytes], requests: int, api_key: str) -> None:
    """Keep a stack busy by the most connections."""
    run_load(url, pictures, connections=CONNECTIONS[-1], requests=requests, api_key=api_key)


def cpu_seconds(home: StackHome) -> dict[str, float]:
    """CPU time that the processes of each part of a stack have used so far."""

    def used(process: psutil.Process) -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    return by_part(home, used)


def megabytes(home: StackHome) -> dict[str, float]:
    """Memory of the processes of each part of a stack."""
    return by_part(home, lambda process: process.memory_full_info().pss / 1e6)


def busy_megabytes(home: StackHome, work: Callable[[], None]) -> dict[str, float]:
    """As `megabytes`, at the moment of `work` at which all of them take most."""
    with ThreadPoolExecutor(1) as executor:
        working = executor.submit(work)
        most = megabytes(home)
        while not working.done():
            most = max(most, megabytes(home), key=lambda parts: sum(parts.values()))
        working.result()
    return most


def by_part(home: StackHome, measured: Callable[[psutil.Process], float]) -> dict[str, float]:
    """What is measured of the processes of each part of a stack, added up."""
    found = dict.fromkeys(PARTS, 0.0)
    for process in members(home.stack_id) | database_processes(home):
        with suppress(psutil.Error):
            line = " ".join(process.cmdline())
            found[next(part for part, pattern in PARTS.items() if pattern in line)] += measured(process)
    return found


def database_processes(home: StackHome) -> set[psutil.Process]:
    """The processes of the stack's PostgreSQL."""
    with suppress(OSError, psutil.Error):
        pid = (home.postgres / "data" / "postmaster.pid").read_text().split()[0]
        postmaster = psutil.Process(int(pid))
        return {postmaster, *postmaster.children(recursive=True)}
    return set()


def steps_table(steps: PhotoSteps) -> Table:
    """Where a photo's CPU time goes in one process."""
    table = Table(title="CPU time of a photo in one process")
    table.add_column("step")
    table.add_column("ms", justify="right")
    for step, milliseconds in steps.cpu_ms.items():
        table.add_row(step, f"{milliseconds:.1f}")
    table.add_row("all", f"{sum(steps.cpu_ms.values()):.1f}", style="bold")
    return table


def stack_table(stack: StackTimes, bare_seconds: float) -> Table:
    """Where it goes in the stack, next to the bare limit's."""
    table = Table(title=f"CPU time of a photo at {CONNECTIONS[-1]} connections")
    table.add_column("part")
    table.add_column("ms", justify="right")
    for heading in ("idle, % of a core", "MB at rest", "MB under load"):
        table.add_column(heading, justify="right")
    columns = (stack.cpu_ms, stack.idle, stack.rest_mb, stack.busy_mb)
    for part in PARTS:
        table.add_row(part, *(f"{column[part]:.1f}" for column in columns))
    table.add_row("all", *(f"{sum(column.values()):.1f}" for column in columns), style="bold")
    table.add_row("bare (a)", f"{1000 * bare_seconds:.1f}", "")
    return table


def measure(url: str, pictures: list[bytes], requests: int, api_key: str = "") -> list[LoadResult]:
    """Warm up, then one closed-loop run per connection count."""
    run_load(url, pictures, connections=4, requests=max(48, requests // 4), api_key=api_key)
    return [
        run_load(url, pictures, connections=count, requests=requests, api_key=api_key)
        for count in CONNECTIONS
    ]


def wait_until_up(url: str, timeout_s: float = 60) -> None:
    """Return when anything answers at `url`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            httpx.get(url)
        except httpx.TransportError:
            time.sleep(0.2)
        else:
            return
    raise TimeoutError(f"nothing answers at {url}")


if __name__ == "__main__":
    typer.run(main)
