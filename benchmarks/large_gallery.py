"""What a gallery takes on one machine that is too large to fill a database with for a measurement.

Made-up celebrities go straight into the arrays that searches read, then into the file that the processes of a
machine share. Faces of users then search the mapped file, as match jobs do: by the full score of six
factors, alone and eight in one pass, all celebrities and those of one gender. Reading changes from the
database and scoring the short list in it are not included: they do not grow with the gallery, and
`celebrity_match` shows them.

    OMP_NUM_THREADS=1 python -m benchmarks.large_gallery --size 10000000 --dimensions 128
    OMP_NUM_THREADS=1 python -m benchmarks.large_gallery --file kept.gallery
"""

from __future__ import annotations

import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.population import PICTURES, people, unit_vectors
from db.copy_arrays import Rows
from matching.gallery import ROW, GalleryQuery, shortlists
from matching.gallery_arrays import GalleryArrays
from matching.gallery_file import mapped
from matching.scoring import MIN_QUALITY
from matching.traits import DEFAULT_RATIOS
from semblance.types import EMOTIONS
from semblance.weights import Weights

CHUNK = PICTURES * 8000
PROBES = 21
AT_ONCE = 8
TERMS = (Weights(), 0.5)


@dataclass(slots=True)
class LargeResult:
    """One gallery. Milliseconds are medians of wall time; a face of eight has an eighth of their pass.

    map_seconds: verifying the file's digest, and until the first search has ended. resident_gb: of the
    process at its end, the mapped file included, which other processes share.
    """

    celebrities: int
    dimensions: int
    bytes_each: float
    map_seconds: float
    first_seconds: float
    all_ms: float
    all_cpu_ms: float
    one_gender_ms: float
    each_of_eight_ms: float
    listed: float
    resident_gb: float


def main(
    size: Annotated[int, typer.Option(min=CHUNK, help="Celebrities.")] = 10_000_000,
    dimensions: Annotated[int, typer.Option(min=64, max=512, help="Of embeddings.")] = 128,
    file: Annotated[Path | None, typer.Option(help="Keep the gallery here, and use it if it exists.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Write a gallery's file and search it."""
    console = Console(stderr=as_json)
    with tempfile.TemporaryDirectory() as folder:
        path = file or Path(folder) / "large.gallery"
        if not path.exists():
            started = time.perf_counter()
            write(path, size, dimensions)
            console.print(f"made in {time.perf_counter() - started:.0f} s")
        console.print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.2f}")
        result = measure(path)
    title = f"{result.celebrities:,} celebrities of {result.dimensions} dimensions"
    table = Table("what", "figure", title=title)
    table.columns[1].justify = "right"
    for name, value in list(asdict(result).items())[2:]:
        table.add_row(name.replace("_", " "), f"{value:,.2f}")
    console.print(table)
    if as_json:
        print(json.dumps({"benchmark": "large_gallery", "results": asdict(result), "ratios": {}}))


def write(path: Path, size: int, dimensions: int) -> None:
    """Make a gallery and write its file."""
    random = np.random.default_rng(0)
    arrays = GalleryArrays()
    for start in range(0, size, CHUNK):
        arrays.write(celebrities(random, min(CHUNK, size - start), start // PICTURES, dimensions))
    arrays.save(path, {})


def celebrities(random: np.random.Generator, count: int, first_person: int, dimensions: int) -> Rows:
    """PICTURES of each person, with cosines as those of `population.people`."""
    owner = np.arange(count) // PICTURES
    persons = int(owner[-1]) + 1
    centres = _units(random.standard_normal((persons, dimensions), dtype=np.float32))
    noise = _units(random.standard_normal((count, dimensions), dtype=np.float32))
    rows = np.zeros(count, ROW)
    rows["id"] = np.frombuffer(random.bytes(16 * count), "V16")
    rows["embedding"]["values"][:, :dimensions] = _units(centres[owner] + np.float32(0.8) * noise)
    rows["geometry"]["items"]["value"] = random.normal(DEFAULT_RATIOS, 0.05, (count, 4))
    rows["age"] = random.integers(18, 80, persons)[owner] + random.integers(-2, 3, count)
    rows["symmetry"] = random.uniform(0.5, 1, count)
    skin = random.uniform([30, 0, 5], [90, 25, 35], (persons, 3))[owner]
    rows["skin_tone"]["items"]["value"] = skin + random.normal(size=(count, 3))
    rows["expression"] = random.integers(len(EMOTIONS), size=count)
    rows["quality"] = random.uniform(MIN_QUALITY, 1, count)
    rows["gender"] = random.integers(1, 3, persons)[owner]
    numbers = np.zeros((count, 2), ">u8")
    numbers[:, 1] = first_person + owner + 1
    rows["person"] = numbers.view("V16")[:, 0]
    return rows


def _units(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    units: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


def measure(path: Path) -> LargeResult:
    """Map the file and search it."""
    started = time.perf_counter()
    _, columns = mapped(path)
    arrays = GalleryArrays(columns)
    map_seconds = time.perf_counter() - started
    faces = people(np.random.default_rng(1), PROBES, 0, columns["values"].shape[1])

    def query(place: int, gender: str | None) -> GalleryQuery:
        face: dict[str, Any] = faces[place]
        near = columns["values"][place * 1009 % len(arrays)].astype(np.float64)
        # Like somebody of the gallery.
        vector = np.zeros(512)
        vector[: len(near)] = unit_vectors(near[None])[0]
        return GalleryQuery(face | {"embedding": vector.astype(np.float32)}, gender)

    def search(places: range, gender: str | None) -> int:
        return sum(map(len, shortlists(arrays, [query(place, gender) for place in places], *TERMS)))

    def alone(gender: str | None) -> tuple[float, float]:
        return typical([partial(search, range(place, place + 1), gender) for place in range(PROBES)])

    listed = search(range(1), None)
    first_seconds = time.perf_counter() - started
    all_ms, all_cpu_ms = alone(None)
    one_gender_ms, _ = alone("female")
    together_ms, _ = typical([partial(search, range(AT_ONCE), None)] * 5)
    return LargeResult(
        celebrities=len(arrays),
        dimensions=int(columns["values"].shape[1]),
        bytes_each=path.stat().st_size / len(arrays),
        map_seconds=map_seconds,
        first_seconds=first_seconds,
        all_ms=all_ms,
        all_cpu_ms=all_cpu_ms,
        one_gender_ms=one_gender_ms,
        each_of_eight_ms=together_ms / AT_ONCE,
        listed=float(listed),
        resident_gb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    )


def typical(calls: Sequence[Callable[[], object]]) -> tuple[float, float]:
    """Milliseconds of wall and CPU time, medians."""
    times = []
    for call in calls:
        started = time.perf_counter(), time.process_time()
        call()
        times.append((time.perf_counter() - started[0], time.process_time() - started[1]))
    wall, cpu = np.median(times, axis=0) * 1000
    return float(wall), float(cpu)


if __name__ == "__main__":
    typer.run(main)
