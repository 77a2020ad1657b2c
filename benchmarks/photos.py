"""Many photos out of a few, for benchmarks that must not see the same one twice."""

from __future__ import annotations

import io
import random
from pathlib import Path

import typer
from PIL import Image


def make_images(photos: Path, folder: Path, count: int, *, seed: int) -> list[Path]:
    """`count` JPEGs that all differ: each a photo with a little cut off at its edges, encoded again."""
    originals = []
    for path in sorted(photos.rglob("*")):
        if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"}:
            with Image.open(path) as image:
                originals.append(image.convert("RGB"))
    if not originals:
        raise typer.BadParameter(f"no photos in {photos}")
    generator = random.Random(seed)
    made = []
    for index in range(count):
        photo = originals[index % len(originals)]
        left, top, right, bottom = (generator.uniform(0, 0.03) for _ in range(4))
        width, height = photo.size
        box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
        path = folder / "photos" / f"{index:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        encoded = io.BytesIO()
        # The number makes files differ even where edges and quality came out the same.
        photo.crop([round(value) for value in box]).save(  # type: ignore[arg-type]
            encoded, "JPEG", quality=generator.randint(80, 95), comment=f"{seed}-{index}".encode()
        )
        path.write_bytes(encoded.getvalue())
        made.append(path)
    return made
