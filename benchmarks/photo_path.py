"""Photos per second over HTTP, compared with the bare limit and with the service as it was first planned.

(a) bare: the same work in as many one-thread, non-spinning processes as cores; no HTTP, no Ray.
(b) flask: one threaded process, default sessions of two threads, full-size decoding, the same nets, the
    detector as published (float, whole canvas).
(c) as (b), with Semblance's faster detector: what is left is the difference of the architectures.

    python -m benchmarks.photo_path --photos FOLDER
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import httpx
import psutil
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.bare import run_bare
from benchmarks.load import LoadResult, run_load
from ops.stack.ports import free_ports

PATH = "/analyze-face-advanced"
CONNECTIONS = (1, 8, 16)

PARTS = {
    "gateway": "haproxy",
    "decoding processes": "deployments.faces.decoder_main",
    "detector replicas": "ServeReplica:semblance:Detector",
    "embedder replica": "ServeReplica:semblance:Embedder",
    "analyzer replica": "ServeReplica:semblance:Analyzer",
    "API replica": "ServeReplica:semblance:API",
    "Serve's proxy": "ray::ProxyActor",
    "Serve controller": "ray::ServeController",
    "PostgreSQL": "postgres",
    "Ray's daemons": "ray",
}
"""Where CPU time goes: the first pattern found in a process's command line names its part."""


def main(
    photos: Annotated[Path, typer.Option(help="Folder of photos, each with a face.")],
    requests: Annotated[int, typer.Option(help="Requests per connection count.")] = 240,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Measure Semblance, the bare limit and the planned Flask service in one run."""
    pictures = [path.read_bytes() for path in sorted(photos.iterdir()) if path.is_file()]
    console = Console(stderr=as_json)
    cores = len(os.sched_getaffinity(0))
    console.print(f"{len(pictures)} photos, {cores} cores, load {os.getloadavg()[0]:.2f} at start")

    bare = [run_bare(pictures, requests, cores, max_faces=1)]
    flask = measure_flask(pictures, requests)
    faster = measure_flask(pictures, requests, "--shared-detector")
    ours, spent = measure_semblance(pictures, requests)
    bare.append(run_bare(pictures, requests, cores, max_faces=1))
    limit = sum(bare) / len(bare)

    table = Table(title=f"POST {PATH}")
    for heading in ("", "connections", "photos/s", "of bare", "p50 ms", "p99 ms", "failed"):
        table.add_column(heading, justify="right" if heading else "left")
    table.add_row("bare (a)", "-", f"{limit:.1f}", "1.00", "", "", "")
    for name, results in (("flask (b)", flask), ("flask, our detector (c)", faster), ("semblance", ours)):
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
    console.print(cpu_table(spent, cores / limit))
    console.print(f"bare before and after: {bare[0]:.1f} and {bare[1]:.1f} photos/s")
    ratios = {
        "semblance_to_bare_at_16": ours[-1].per_second / limit,
        "semblance_to_flask_at_1": ours[0].per_second / flask[0].per_second,
        "semblance_to_flask_at_16": ours[-1].per_second / flask[-1].per_second,
        "semblance_to_flask_with_our_detector_at_1": ours[0].per_second / faster[0].per_second,
        "semblance_to_flask_with_our_detector_at_16": ours[-1].per_second / faster[-1].per_second,
    }
    for name, value in ratios.items():
        console.print(f"{name}: {value:.2f}")
    if as_json:
        measured: dict[str, object] = {
            "bare": bare,
            "flask": [asdict(run) for run in flask],
            "flask_shared_detector": [asdict(run) for run in faster],
            "semblance": [asdict(run) for run in ours],
            "semblance_cpu_ms_per_photo_at_16": spent,
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


def measure_semblance(pictures: list[bytes], requests: int) -> tuple[list[LoadResult], dict[str, float]]:
    """Start a separate stack in a temporary home, measure it, stop it. Also returns the CPU milliseconds
    a photo costs in each part of it at the most connections."""
    with tempfile.TemporaryDirectory(prefix="semblance-benchmark-") as home:
        command = str(Path(sys.executable).with_name("semblance"))
        env = {**os.environ, "SEMBLANCE_HOME": home}
        subprocess.run([command, "up", "--detach"], env=env, check=True, stdout=sys.stderr)
        try:
            status = subprocess.run([command, "status", "--json"], env=env, check=True, capture_output=True)
            stack = json.loads(status.stdout)
            url, key = stack["url"] + PATH, stack["api_key"]
            results = measure(url, pictures, requests, key)
            before = cpu_seconds()
            run_load(url, pictures, connections=CONNECTIONS[-1], requests=requests, api_key=key)
            after = cpu_seconds()
            return results, {part: 1000 * (after[part] - before[part]) / requests for part in PARTS}
        finally:
            subprocess.run([command, "down"], env=env, check=True, stdout=sys.stderr)


def cpu_seconds() -> dict[str, float]:
    """CPU time that the processes of each part have used so far."""
    used = dict.fromkeys(PARTS, 0.0)
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            line = " ".join(process.cmdline())
            part = next((part for part, pattern in PARTS.items() if pattern in line), None)
            if part is not None:
                times = process.cpu_times()
                used[part] += times.user + times.system
    return used


def cpu_table(spent: dict[str, float], bare_seconds: float) -> Table:
    """Where a photo's CPU time goes, next to the bare limit's."""
    table = Table(title=f"CPU time of a photo at {CONNECTIONS[-1]} connections")
    table.add_column("part")
    table.add_column("ms", justify="right")
    for part, milliseconds in spent.items():
        table.add_row(part, f"{milliseconds:.1f}")
    table.add_row("all", f"{sum(spent.values()):.1f}", style="bold")
    table.add_row("bare (a)", f"{1000 * bare_seconds:.1f}")
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
