"""The wide set: photos of more people, and hard cases, for the tests that are marked `photos`.

They come from public projects, but not with a package: from the examples of face_recognition (ageitgey),
InsightFace and EdgeFace. Who has them puts them under these names into a folder of three.
"""

from __future__ import annotations

import os
from pathlib import Path

_VARIABLE = "SEMBLANCE_TEST_FACES"
FOLDER = Path(os.environ.get(_VARIABLE) or Path(__file__).resolve().parents[3] / "shared" / "faces")
"""Their folder, which need not exist."""

HOW_TO_GET_THEM = f"set {_VARIABLE} to a folder with the photos that tests/support/wide_photos.py lists"


def is_there() -> bool:
    """Whether they are on this machine."""
    return (FOLDER / "celebrities").is_dir()


def _below(folder: str, *names: str) -> tuple[Path, ...]:
    return tuple(FOLDER / folder / name for name in names)


GALLERY = FOLDER / "celebrities"
"""A folder for bulk ingestion."""
CELEBRITIES = _below(
    "celebrities",
    "actors/kit-harington.jpeg",
    "actors/nathalie-baye.jpg",
    "actors/rob-lowe.jpg",
    "actors/rose-leslie.jpg",
    "musicians/alex-lacamoire.jpg",
    "musicians/lin-manuel-miranda.png",
    "politicians/barack-obama.jpg",
    "politicians/joe-biden.jpg",
)
WOMEN = {"nathalie-baye", "rose-leslie"}
PROBES = _below(
    "probes",
    "alex-lacamoire-2.jpg",
    "alex-lacamoire-3.png",
    "barack-obama+joe-biden.jpg",
    "barack-obama-2.jpg",
    "barack-obama-3.jpg",
    "barack-obama-4.jpg",
    "joe-biden-2.jpg",
    "kit-harington+rose-leslie.jpg",
    "kit-harington-2.jpeg",
    "kit-harington-3.jpg",
    "rob-lowe-2.jpg",
    "rose-leslie-2.jpg",
)
"""Other photos of the same people, named after them."""
HARD = _below(
    "hard",
    "blur.jpg",
    "cartoon.jpg",
    "emotion-anger.png",
    "emotion-happy.png",
    "emotion-sad.png",
    "no-face.png",
    *(f"office{number}.jpg" for number in range(1, 6)),
    "partial-face-1.jpg",
    "partial-face-2.jpg",
    "pose-left-face.jpeg",
    "pose-left-wryneck.png",
    "pose-lower-face.jpeg",
    "pose-right-face.png",
    "pose-right-wryneck.png",
    "pose-rise-face.jpeg",
    "rgba-32bit.png",
    *(f"rotate-rot-{angle}.jpg" for angle in (0, 90, 180, 270)),
    "two-people.jpg",
)
PORTRAITS = (*CELEBRITIES, *PROBES)
ALL = (*PORTRAITS, *HARD)


def hard(name: str) -> Path:
    """A hard case."""
    return FOLDER / "hard" / name
