"""What a picture without a face costs in every format, compared with a JPEG of the same picture.

A picture without a face costs most, because the finder also looks at it turned. CPU time is that of the
finder and of the process that decodes for it; memory is what the latter takes at its peak beyond what it
takes when idle.

    python -m benchmarks.decode_cost
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import cv2
import numpy as np
import pillow_heif
import psutil
import typer
from PIL import Image as PillowImage
from rich.console import Console
from rich.table import Table

from deployments.faces.decoder import DecoderProcess
from deployments.faces.decoder_main import IDLE_S
from deployments.faces.finder import FaceFinder
from deployments.packs.nets import ModelPack
from deployments.packs.registry import load_pack
from semblance.errors import SemblanceError
from semblance.settings import Settings

MOST_BYTES: Final = 256 * 2**20
"""Room for formats that do not compress; a service takes less."""

BASELINE: Final = "JPEG"

KINDS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    BASELINE: ("JPEG", {"quality": 90}),
    "JPEG progressive": ("JPEG", {"quality": 90, "progressive": True}),
    "PNG": ("PNG", {"compress_level": 1}),
    "WebP": ("WEBP", {"quality": 80, "method": 0}),
    "WebP lossless": ("WEBP", {"lossless": True, "quality": 0, "method": 0}),
    "GIF": ("GIF", {}),
    "BMP": ("BMP", {}),
    "TIFF": ("TIFF", {}),
    "TIFF LZW": ("TIFF", {"compression": "tiff_lzw"}),
    "AVIF": ("AVIF", {"quality": 60, "speed": 10}),
    "HEIC": ("HEIF", {"quality": 50, "tile_size": 512}),
}

SIZES: Final = {"12 MP": (4032, 3024), "48 MP": (8064, 6048)}

HOSTILE: Final = {"1 x 60000 PNG": (1, 60_000), "7071 x 7071 PNG of one colour": (7071, 7071)}


@dataclass(frozen=True, slots=True)
class Cost:
    """megabytes: the file. cpu_ms, wall_ms: the best of some runs. peak_mb: beyond the idle process. left_mb:
    what it has grown by after the picture. ratio: CPU time over the baseline's."""

    picture: str
    kind: str
    megabytes: float
    cpu_ms: float
    wall_ms: float
    peak_mb: float
    left_mb: float
    ratio: float
    answer: str


def main(
    repeat: Annotated[int, typer.Option(help="Runs of each; the best counts.")] = 3,
    large: Annotated[bool, typer.Option(help="Also of 48 MP, which takes minutes to encode.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Measure every format and the pictures that are made to be expensive."""
    pillow_heif.register_heif_opener()
    cv2.setNumThreads(1)
    pack = load_pack(Settings())
    costs: list[Cost] = []
    for name, size in SIZES.items() if large else [*SIZES.items()][:1]:
        picture, baseline = landscape(*size), None
        for kind, (file_format, options) in KINDS.items():
            data = encoded(picture, file_format, options)
            cost = measure(name, kind, data, pack, repeat=repeat, baseline=baseline)
            baseline = baseline or cost.cpu_ms
            costs.append(cost)
    for name, size in HOSTILE.items():
        data = encoded(PillowImage.new("RGB", size, (90, 90, 90)), "PNG", {})
        costs.append(measure("hostile", name, data, pack, repeat=repeat, baseline=costs[0].cpu_ms))

    console = Console(stderr=as_json)
    table = Table(title="A picture without a face; ratio to a JPEG of the same picture")
    for heading in ("picture", "kind", "MB", "CPU ms", "wall ms", "ratio", "peak MB", "left MB", "answer"):
        table.add_column(heading, justify="left" if heading in {"picture", "kind", "answer"} else "right")
    for cost in costs:
        numbers = (cost.megabytes, cost.cpu_ms, cost.wall_ms, cost.ratio, cost.peak_mb, cost.left_mb)
        table.add_row(
            cost.picture,
            cost.kind,
            *(f"{number:.{digits}f}" for number, digits in zip(numbers, (1, 0, 0, 2, 0, 0), strict=True)),
            cost.answer,
        )
    console.print(table)
    if as_json:
        worst = max(cost.ratio for cost in costs if cost.picture != "hostile")
        results = [asdict(cost) for cost in costs]
        print(
            json.dumps({"benchmark": "decode_cost", "results": results, "ratios": {"worst_to_jpeg": worst}})
        )


def landscape(width: int, height: int) -> PillowImage.Image:
    """Smooth colours with a sensor's noise: no face, and as hard to compress as a photo."""
    random = np.random.default_rng(0)
    small = random.integers(60, 200, (height // 24, width // 24, 3), np.uint8)
    smooth = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    smooth += random.integers(-3, 4, (height, width, 1), np.int16)
    return PillowImage.fromarray(np.clip(smooth, 0, 255).astype(np.uint8))


def encoded(picture: PillowImage.Image, file_format: str, options: dict[str, Any]) -> bytes:
    """The bytes of the file."""
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def measure(
    picture: str, kind: str, data: bytes, pack: ModelPack, *, repeat: int, baseline: float | None
) -> Cost:
    """Find faces in a file, with a separate decoding process."""
    settings = Settings(max_image_bytes=MOST_BYTES)
    decoder = DecoderProcess(settings)
    finder = FaceFinder(pack, settings, decoder)
    warm_up = encoded(PillowImage.new("RGB", (900, 900)), "JPEG", {})
    finder.detect(warm_up)
    idle, runs, answer = memory(decoder.pid, "VmRSS"), [], ""
    for _ in range(repeat):
        began, used = time.perf_counter(), time.process_time() + cpu_seconds(decoder.pid)
        try:
            answer = f"{finder.detect(data).found} faces"
        except SemblanceError as exc:
            answer = exc.code
        elapsed = time.perf_counter() - began
        runs.append((1000 * (time.process_time() + cpu_seconds(decoder.pid) - used), 1000 * elapsed))
    peak = memory(decoder.pid, "VmHWM") - idle
    with suppress(SemblanceError):
        finder.detect(warm_up)
    time.sleep(2 * IDLE_S)
    left = memory(decoder.pid, "VmRSS") - idle
    decoder.close()
    cpu, wall = (min(values) for values in zip(*runs, strict=True))
    return Cost(picture, kind, len(data) / 1e6, cpu, wall, peak, left, cpu / (baseline or cpu), answer)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def memory(pid: int, field: str) -> float:
    """A field of the kernel's status of a process, in megabytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return float(line.split()[1]) * 1024 / 1e6
    raise KeyError(field)


if __name__ == "__main__":
    typer.run(main)
