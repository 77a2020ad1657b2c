"""Real photos for tests, none of which is part of this project: they come with the Python packages, or with
the source distribution that `make env` unpacks beside them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageEnhance, ImageOps
from pillow_heif import register_heif_opener

from semblance.types import DetectedFace

FindFaces = Callable[[Path], tuple[DetectedFace, ...]]
"""Faces of a photo, largest first."""


def _packaged(package: str, path: str) -> Path:
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None, f"{package} is not installed: run `make env`"
    return Path(spec.origin).parent / path


_INSIGHTFACE = _packaged("insightface", "data/images")
_FACE_RECOGNITION = Path(sys.prefix, ".photos", "tests", "test_images")

GROUP = _INSIGHTFACE / "t1.jpg"
"""Six people at a table and behind it, 1280 x 886."""
GROUP_FACES = (
    (54, 245, 169, 397),
    (273, 137, 377, 268),
    (473, 259, 576, 408),
    (748, 342, 844, 477),
    (899, 47, 1004, 203),
    (1133, 261, 1216, 392),
)
"""Boxes of their faces in pixels (x1, y1, x2, y2), from left to right. Numbers 1, 2 and 6 are women."""
HANKS = _INSIGHTFACE / "Tom_Hanks_54745.png"
"""Only a face, 112 x 112: too tight to be detected."""
MASKS = tuple(_INSIGHTFACE / f"mask_{colour}.jpg" for colour in ("black", "blue", "green", "white"))
"""Pieces of cloth without a face."""
NO_FACE = MASKS[1]
ASTRONAUT = _packaged("skimage", "data/astronaut.png")
"""Eileen Collins, 512 x 512."""

OBAMA = _FACE_RECOGNITION / "obama.jpg"
OBAMA_2 = _FACE_RECOGNITION / "obama2.jpg"
OBAMA_3 = _FACE_RECOGNITION / "obama3.jpg"
OBAMA_RGBA = _FACE_RECOGNITION / "32bit.png"
"""`OBAMA_2` as a PNG with an alpha channel."""
OBAMA_CUT = tuple(_FACE_RECOGNITION / f"obama_partial_face{number}.jpg" for number in ("", "2"))
"""`OBAMA`, cut through the face, at the left and at the right."""
BIDEN = _FACE_RECOGNITION / "biden.jpg"

SINGLE = (OBAMA, OBAMA_2, OBAMA_3, BIDEN, ASTRONAUT)
"""Posed photos of one person."""
ALL = (*SINGLE, OBAMA_RGBA, *OBAMA_CUT, GROUP, HANKS, *MASKS)


_QUICK: dict[str, dict[str, object]] = {
    "AVIF": {"speed": 10},
    "HEIF": {"enc_params": {"preset": "ultrafast"}},
    "PNG": {"compress_level": 1},
    "WEBP": {"method": 0},
}
"""Options that encode in a quarter of the time or less, into larger files."""


def encoded(image: Image.Image, file_format: str = "JPEG", **options: object) -> bytes:
    """The picture as a file."""
    if file_format == "HEIF":
        register_heif_opener()
    buffer = BytesIO()
    image.save(buffer, file_format, **{**_QUICK.get(file_format, {}), **options})
    return buffer.getvalue()


def couple() -> bytes:
    """Two of the group, whose faces are of about one size: the upper one is larger."""
    with Image.open(GROUP) as image:
        return encoded(image.crop((700, 0, 1100, 520)), quality=95)


def altered(photo: Path) -> bytes:
    """Another picture of the same person: its upper part, mirrored, darkened, compressed again."""
    with Image.open(photo) as image:
        upper = image.convert("RGB").crop((0, 0, image.width, round(0.6 * image.height)))
    mirrored = ImageOps.mirror(upper)
    return encoded(ImageEnhance.Brightness(mirrored).enhance(0.75), quality=60)


def cut_out(face: int) -> bytes:
    """Head and some background of a person of the group, counted from 0 at the left."""
    x1, y1, x2, y2 = GROUP_FACES[face]
    half, x, y = 1.2 * max(x2 - x1, y2 - y1), (x1 + x2) / 2, (y1 + y2) / 2
    with Image.open(GROUP) as image:
        left, top = max(0, round(x - half)), max(0, round(y - half))
        right, bottom = min(image.width, round(x + half)), min(image.height, round(y + half))
        return encoded(image.crop((left, top, right, bottom)), "PNG")


def with_scans(data: bytes, count: int) -> bytes:
    """A progressive JPEG whose last scan is repeated until there are `count` of them."""
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * (count - data.count(b"\xff\xda")) + b"\xff\xd9"
