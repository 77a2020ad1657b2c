"""Images a second of a real ingestion, as a share of the bare limit, and the memory it takes.

The whole ingestion runs: listing, a separate Ray, Ray actors, the picture store, COPY into an
embedded PostgreSQL. A small ingestion before it warms the machine up; the measured time is from the
start of the workers to the last row, with the loading of their nets included.

    python -m benchmarks.ingest --photos FOLDER
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
import typer
from rich.console import Console

from batch.ingest.job import IngestOptions, ingest
from batch.ingest.outcomes import IngestSummary
from batch.ingest.worker import IngestRules
from benchmarks.bare import run_bare
from benchmarks.photos import make_images
from db.migrate import upgrade
from ops.stack.embedded import EmbeddedPostgres
from semblance.settings import Settings

WARM_UP = 64
"""Images of the ingestion before the measured one."""

SAMPLE = 400
"""Images of a bare run: every so many-th of those ingested."""

SAMPLE_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Proportional set size, in MB, of this process, Ray and all workers: a page that several processes
    share counts once. Peaks of the first and second half of the run, and the slope of a line through the
    second half, MB per 1,000 images."""

    first_half_peak: float
    second_half_peak: float
    slope_per_1000: float


def main(
    photos: Annotated[Path, typer.Option(help="Folder of photos, searched with its folders.")],
    images: Annotated[int, typer.Option(min=1, help="Images to ingest.")] = 2000,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Measure an ingestion of distinct images, made from the photos, against the bare limit."""
    console = Console(stderr=as_json)
    cores = len(os.sched_getaffinity(0))
    console.print(f"{images} images, {cores} cores, load {os.getloadavg()[0]:.2f} at start")
    with tempfile.TemporaryDirectory(prefix="semblance-benchmark-") as folder:
        home = Path(folder) / "home"
        warm_up, source = Path(folder) / "warm-up", Path(folder) / "source"
        sample = make_images(photos, source, images, seed=0)[:: max(1, images // SAMPLE)]
        make_images(photos, warm_up, min(images, WARM_UP), seed=1)
        pictures = [path.read_bytes() for path in sample]
        postgres = EmbeddedPostgres(home / "postgres")
        dsn = postgres.start()
        try:
            upgrade(dsn)
            settings = Settings.model_validate({"home": home, "database_url": dsn})
            run_ingestion(warm_up, settings, console)
            bare = [run_bare(pictures, len(pictures), cores, max_faces=2)]
            with memory_samples() as samples:
                summary = run_ingestion(source, settings, console)
            bare.append(run_bare(pictures, len(pictures), cores, max_faces=2))
            console.print(f"load {os.getloadavg()[0]:.2f} at the end")
        finally:
            postgres.stop()
    memory = summarise(samples, summary)
    limit = sum(bare) / len(bare)
    ratios = {
        "ingest_to_bare": summary.images_per_second / limit,
        "memory_second_half_to_first": memory.second_half_peak / memory.first_half_peak,
    }
    console.print(summary.table())
    console.print(f"bare before and after: {bare[0]:.1f} and {bare[1]:.1f} images/s")
    console.print(
        f"memory: peak {memory.first_half_peak:.0f} MB in the first half, {memory.second_half_peak:.0f} MB "
        f"in the second, slope {memory.slope_per_1000:+.1f} MB per 1,000 images"
    )
    for name, value in ratios.items():
        console.print(f"{name}: {value:.2f}")
    if as_json:
        results = {
            "images": summary.images,
            "counts": summary.counts,
            "seconds": summary.seconds,
            "images_per_second": summary.images_per_second,
            "bare": bare,
            "bare_per_second": limit,
            "memory": asdict(memory),
        }
        print(json.dumps({"benchmark": "ingest", "results": results, "ratios": ratios}))


def run_ingestion(source: Path, settings: Settings, console: Console) -> IngestSummary:
    """One ingestion with default options, on a separate Ray."""
    rules = IngestRules(min_quality=0.6, largest=False, dry_run=False)
    return asyncio.run(ingest(IngestOptions(str(source), rules), settings, console))


@contextmanager
def memory_samples() -> Iterator[list[tuple[float, float]]]:
    """Seconds and MB of this process with all its descendants, taken while the context lasts."""
    samples: list[tuple[float, float]] = []
    done = threading.Event()

    def take() -> None:
        started = time.monotonic()
        while not done.wait(SAMPLE_EVERY_S):
            samples.append((time.monotonic() - started, tree_pss() / 1e6))

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()


def tree_pss() -> int:
    """Bytes."""
    total = 0
    this = psutil.Process()
    for process in [this, *this.children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return total


def summarise(samples: Sequence[tuple[float, float]], summary: IngestSummary) -> Memory:
    """The samples of the run itself: what precedes it is Ray's start."""
    end = samples[-1][0]
    seconds, megabytes = np.array([sample for sample in samples if sample[0] >= end - summary.seconds]).T
    late = seconds >= end - summary.seconds / 2
    slope = np.polyfit(seconds[late], megabytes[late], 1)[0]
    return Memory(
        first_half_peak=float(megabytes[~late].max()),
        second_half_peak=float(megabytes[late].max()),
        slope_per_1000=float(slope / summary.images_per_second * 1000),
    )


if __name__ == "__main__":
    typer.run(main)
