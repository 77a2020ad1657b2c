"""Cost and quality of the open pack and its nets, compared with others that could play their roles.

    python -m benchmarks.models --photos FOLDER --embed float.onnx --pack packs/open-1

FOLDER holds `celebrities`, photos of people in sub-folders, and `probes`, other photos named after them
(`ada.jpg`, `ada-2.jpg`, `ada+bob.jpg`). Embedding nets are timed at 1 and 8 faces and judged by the probes.
The detector is timed at 1 and 8 photos of 4:3 on several canvases, and judged by what it finds in the photos.
Whole packs are compared by the probes: CPU time from bytes to embeddings and attributes, and how much nearer
the person is than the nearest other one.
All on one thread, in turn, so that other work on the machine falls on all alike. Nets run as the service runs
them, so that 8-bit activations are computed where the file has integer operators (QLinearConv).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from deployments.faces.finder import FaceFinder
from deployments.faces.memory import keep_memory
from deployments.faces.pipeline import LocalPipeline
from deployments.packs.manifest import read_manifest
from deployments.packs.open_pack import PortraitAgeGender, PortraitExpression, SsdDetector, VectorNet
from deployments.packs.pack import OPEN_FOLDER, LoadedPack
from deployments.vision.decode import decode, read_header
from semblance.settings import Settings
from semblance.types import Image

ROUNDS = 15
"""Runs of each net, in turn; the median counts."""

PHOTO_ROUNDS = 5
"""Runs of each photo by each pack."""

BATCHES = (1, 8)
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class NetRow:
    """ms_1, ms_8: CPU milliseconds per face or photo, alone and among eight. quality: what the net is judged
    by, in words."""

    role: str
    net: str
    ms_1: float
    ms_8: float
    quality: str


@dataclass(frozen=True, slots=True)
class PackRow:
    """ms: CPU milliseconds of a photo, from bytes to embeddings and attributes, on average. right, of: probes
    whose person is the nearest, and all. mean, least: by how much cosine the person is nearer than the
    nearest other one; mean_sigma, least_sigma: the same in standard deviations of strangers' cosines."""

    pack: str
    ms: float
    right: int
    of: int
    mean: float
    least: float
    mean_sigma: float
    least_sigma: float


def main(
    photos: Annotated[Path, typer.Option(help="Folder with `celebrities` and `probes`.", exists=True)],
    embed: Annotated[
        list[Path] | None, typer.Option(help="Another net for the embedding; repeatable.")
    ] = None,
    canvas: Annotated[
        list[int] | None, typer.Option(help="Another canvas for the detector; repeatable.")
    ] = None,
    pack: Annotated[
        list[Path] | None, typer.Option(help="Folder of another pack; repeatable.", exists=True)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Print the table of nets."""
    settings = Settings(threads=1, execution_provider="cpu")
    # As the process that decodes photos for a service.
    keep_memory(settings.image_memory_bytes)
    cv2.setNumThreads(1)
    rows = [
        *embedders(photos, embed or [], settings),
        *detectors(photos, canvas or [512, 1024], settings),
        *describers(settings),
    ]
    table = Table(title="CPU milliseconds per face or photo, one thread")
    for heading in ("role", "net", "alone", "of 8", "quality"):
        table.add_column(heading, justify="right" if heading in ("alone", "of 8") else "left")
    for row in rows:
        table.add_row(row.role, row.net, f"{row.ms_1:.2f}", f"{row.ms_8:.2f}", row.quality)
    console = Console(stderr=as_json)
    console.print(table)
    compared = packs(photos, [OPEN_FOLDER, *(pack or [])], settings)
    table = Table(
        "pack", "ms a photo", "right", "nearer by", "least", "in sigma", "least", title="Whole packs"
    )
    for each in compared:
        figures = (each.mean, each.least, each.mean_sigma, each.least_sigma)
        table.add_row(
            each.pack, f"{each.ms:.1f}", f"{each.right} of {each.of}", *(f"{each:.2f}" for each in figures)
        )
    console.print(table)
    if as_json:
        results = [*(asdict(row) for row in rows), *(asdict(row) for row in compared)]
        print(json.dumps({"benchmark": "models", "results": results}))


def packs(photos: Path, folders: Sequence[Path], settings: Settings) -> list[PackRow]:
    """Packs by the probes, each with its own detector and crops."""
    pipelines = [LocalPipeline(settings.model_copy(update={"pack": str(folder)})) for folder in folders]
    probes = {path.stem: path.read_bytes() for path in pictures(photos / "probes")}
    people = {path.stem: path.read_bytes() for path in pictures(photos / "celebrities")}
    times = measured(
        [partial(pipeline.analyze_photo, photo, None) for pipeline in pipelines for photo in probes.values()],
        PHOTO_ROUNDS,
    )
    rows = []
    for index, (folder, pipeline) in enumerate(zip(folders, pipelines, strict=True)):
        own = times[index * len(probes) : (index + 1) * len(probes)]
        gallery = {name: _embeddings(pipeline, photo)[:1] for name, photo in people.items()}
        found = {stem: _embeddings(pipeline, photo) for stem, photo in probes.items()}
        margins, sigma = margins_of(gallery, found)
        manifest = read_manifest(folder)
        rows.append(
            PackRow(
                f"{manifest.name} {manifest.version}",
                float(np.mean(own)),
                int((margins > 0).sum()),
                len(margins),
                *(float(value) for value in (margins.mean(), margins.min())),
                *(float(value) for value in (margins.mean() / sigma, margins.min() / sigma)),
            )
        )
    return rows


def _embeddings(pipeline: LocalPipeline, photo: bytes) -> NDArray[np.float32]:
    """Of all faces of a photo, the largest first."""
    return np.stack([face.embedding for face in pipeline.analyze_photo(photo)[1]])


def margins_of(
    people: Mapping[str, NDArray[np.float32]], probes: Mapping[str, NDArray[np.float32]]
) -> tuple[NDArray[np.float64], float]:
    """By how much cosine those whom the probes name are nearer than everybody else, and the deviation of
    strangers' cosines. people: the first row of each counts; probes: the rows of a photo are its faces."""
    names = list(people)
    gallery = np.stack([vectors[0] for vectors in people.values()])
    strangers = (gallery @ gallery.T)[np.triu_indices(len(gallery), 1)]
    margins = []
    for stem, vectors in probes.items():
        similarity = vectors @ gallery.T
        for name in (part.rstrip("-0123456789") for part in stem.split("+")):
            column = names.index(name)
            own = similarity[similarity[:, column].argmax()]
            margins.append(own[column] - np.delete(own, column).max())
    return np.array(margins, np.float64), float(strangers.std())


def embedders(photos: Path, others: Sequence[Path], settings: Settings) -> list[NetRow]:
    """The shipped embedding net and others with the same input and output."""
    manifest = read_manifest(OPEN_FOLDER)
    role = manifest.roles.embed
    nets = {role.file: VectorNet(OPEN_FOLDER, role, settings)} | {
        path.name: VectorNet(path.parent, role.model_copy(update={"file": path.name}), settings)
        for path in others
    }
    finder = FaceFinder(LoadedPack(OPEN_FOLDER, manifest, settings), settings)
    people, probes = (
        {path.stem: aligned(finder, path) for path in pictures(photos / name)}
        for name in ("celebrities", "probes")
    )
    crops = np.concatenate([*people.values(), *probes.values()])
    times = measured([partial(net.embed, crops[:n]) for net in nets.values() for n in BATCHES])
    shipped = nets[role.file].embed(crops)
    rows = []
    for index, (name, net) in enumerate(nets.items()):
        agreement = float((net.embed(crops) * shipped).sum(axis=1).min())
        quality = f"{separation(net, people, probes)}; least cosine with the shipped {agreement:.4f}"
        rows.append(NetRow("embed", name, times[2 * index], times[2 * index + 1] / BATCHES[1], quality))
    return rows


def separation(
    net: VectorNet, people: Mapping[str, NDArray[np.uint8]], probes: Mapping[str, NDArray[np.uint8]]
) -> str:
    """How far those whom the probes name lie from everybody else, in deviations of strangers' cosines."""
    margins, sigma = margins_of(
        {name: net.embed(crops) for name, crops in people.items()},
        {stem: net.embed(crops) for stem, crops in probes.items()},
    )
    return (
        f"{(margins > 0).sum()} of {len(margins)} probes right, nearest other {margins.min() / sigma:.1f} "
        f"(median {np.median(margins) / sigma:.1f}) sigma away"
    )


def detectors(photos: Path, canvases: Sequence[int], settings: Settings) -> list[NetRow]:
    """The shipped detector on its canvas and on others."""
    role = read_manifest(OPEN_FOLDER).roles.detect
    images = [read(path) for path in pictures(photos)]
    sizes = [role.input_size, *canvases]
    nets = [
        SsdDetector(OPEN_FOLDER, role.model_copy(update={"input_size": size}), settings) for size in sizes
    ]
    inputs = [np.zeros((size * 3 // 4, size, 3), np.uint8) for size in sizes]
    times = measured(
        [partial(net.detect, [image] * n) for net, image in zip(nets, inputs, strict=True) for n in BATCHES]
    )
    rows = []
    for index, (size, net) in enumerate(zip(sizes, nets, strict=True)):
        found = sum(len(net.detect([image])[0].boxes) for image in images)
        quality = f"{found} candidates in {len(images)} photos"
        rows.append(
            NetRow(
                "detect", f"{role.file} {size}", times[2 * index], times[2 * index + 1] / BATCHES[1], quality
            )
        )
    return rows


def describers(settings: Settings) -> list[NetRow]:
    """The nets that read a portrait, for what they cost."""
    roles = read_manifest(OPEN_FOLDER).roles
    assert roles.age_gender is not None and roles.expression is not None
    portraits = np.random.default_rng(0).integers(0, 256, (BATCHES[1], 112, 112, 3), np.uint8)
    nets: dict[str, PortraitAgeGender | PortraitExpression] = {
        roles.age_gender.file: PortraitAgeGender(OPEN_FOLDER, roles.age_gender, settings),
        roles.expression.file: PortraitExpression(OPEN_FOLDER, roles.expression, settings),
    }
    times = measured([partial(net.predict, portraits[:n]) for net in nets.values() for n in BATCHES])
    return [
        NetRow("describe", name, times[2 * index], times[2 * index + 1] / BATCHES[1], "")
        for index, name in enumerate(nets)
    ]


def measured(runs: Sequence[Callable[[], object]], rounds: int = ROUNDS) -> list[float]:
    """Median CPU milliseconds of each, run in turn."""
    taken: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run()
    for _ in range(rounds):
        for run, times in zip(runs, taken, strict=True):
            began = time.process_time()
            run()
            times.append(1000 * (time.process_time() - began))
    return [float(np.median(times)) for times in taken]


def aligned(finder: FaceFinder, path: Path) -> NDArray[np.uint8]:
    """The embedding net's crops of a photo's faces, the largest first."""
    return np.stack([face.crops.aligned for face in finder.detect(path.read_bytes()).faces])


def pictures(folder: Path) -> list[Path]:
    """The photos below a folder."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})


def read(path: Path) -> Image:
    """A photo at its full size."""
    data = path.read_bytes()
    return decode(data, read_header(data, max_bytes=10**8, max_pixels=10**9))[0]


if __name__ == "__main__":
    typer.run(main)
