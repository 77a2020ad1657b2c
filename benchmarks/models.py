"""Cost and quality of the open pack's nets, compared with others that could play their roles.

    python -m benchmarks.models --photos FOLDER --embed float.onnx --embed int8.onnx

FOLDER holds `celebrities`, photos of people in sub-folders, and `probes`, other photos named after them
(`ada.jpg`, `ada-2.jpg`, `ada+bob.jpg`). Embedding nets are timed at 1 and 8 faces and judged by the probes.
The detector is timed at 1 and 8 photos of 4:3 on several canvases, and judged by what it finds in the photos.
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
from deployments.packs.manifest import read_manifest
from deployments.packs.open_pack import PortraitAgeGender, PortraitExpression, SsdDetector, VectorNet
from deployments.packs.pack import OPEN_FOLDER, LoadedPack
from deployments.vision.decode import decode, read_header
from semblance.settings import Settings
from semblance.types import Image

ROUNDS = 15
"""Runs of each net, in turn; the median counts."""

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


def main(
    photos: Annotated[Path, typer.Option(help="Folder with `celebrities` and `probes`.", exists=True)],
    embed: Annotated[
        list[Path] | None, typer.Option(help="Another net for the embedding; repeatable.")
    ] = None,
    canvas: Annotated[
        list[int] | None, typer.Option(help="Another canvas for the detector; repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Print the table of nets."""
    cv2.setNumThreads(1)
    settings = Settings(threads=1, execution_provider="cpu")
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
    Console(stderr=as_json).print(table)
    if as_json:
        print(json.dumps({"benchmark": "models", "results": [asdict(row) for row in rows]}))


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
    names = list(people)
    gallery = np.stack([net.embed(crops)[0] for crops in people.values()])
    strangers = (gallery @ gallery.T)[np.triu_indices(len(gallery), 1)]
    right, margins = 0, []
    for stem, crops in probes.items():
        similarity = net.embed(crops) @ gallery.T
        for name in (part.rstrip("-0123456789") for part in stem.split("+")):
            column = names.index(name)
            own = similarity[similarity[:, column].argmax()]
            margins.append(own[column] - np.delete(own, column).max())
            right += margins[-1] > 0
    least, median = np.min(margins) / strangers.std(), np.median(margins) / strangers.std()
    return (
        f"{right} of {len(margins)} probes right, nearest other {least:.1f} (median {median:.1f}) sigma away"
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


def measured(runs: Sequence[Callable[[], object]]) -> list[float]:
    """Median CPU milliseconds of each, run in turn."""
    taken: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run()
    for _ in range(ROUNDS):
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
