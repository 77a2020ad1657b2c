"""Make the calibration of the pack that ships: python -m tools.calibrate_open_pack

The photos come with packages of the development environment. They are not part of this project, and the
calibration contains only numbers.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

from ops.commands.models.calibrate import calibrate_model
from semblance.settings import Settings

SOURCE = (
    "9 people in 11 photos that come with packages: Barack Obama (3) and Joe Biden (face_recognition 1.3.0, "
    "MIT), Eileen Collins by NASA (scikit-image, public domain), six people of one group photo (insightface "
    "2.1, MIT); the MIT packages do not say who took their photos"
)

HEADS = ((111, 321), (325, 202), (524, 333), (796, 409), (951, 125), (1174, 326))
"""Centres of the six faces of the group photo, in pixels."""
HEAD_SIDE = 360
"""Side of the square cut out around each: head and shoulders, and at most a small part of a neighbour."""


def main() -> None:
    """Write calibration.json into the pack's folder."""
    with tempfile.TemporaryDirectory() as folder:
        write_photos(Path(folder))
        calibrate_model(Settings(pack="open"), Path(folder), groups=None, source=SOURCE, output=None)


def write_photos(folder: Path) -> None:
    """Write the photos, in a folder for each person."""
    faces = Path(sys.prefix, ".photos", "tests", "test_images")
    photos = {
        "barack-obama": [faces / name for name in ("obama.jpg", "obama2.jpg", "obama3.jpg")],
        "joe-biden": [faces / "biden.jpg"],
        "eileen-collins": [_packaged("skimage", "data/astronaut.png")],
    }
    for person, files in photos.items():
        (folder / person).mkdir(parents=True)
        for file in files:
            shutil.copy(file, folder / person)
    with Image.open(_packaged("insightface", "data/images/t1.jpg")) as group:
        for number, (x, y) in enumerate(HEADS, start=1):
            place = folder / f"person-{number}"
            place.mkdir()
            left, top = max(0, x - HEAD_SIDE // 2), max(0, y - HEAD_SIDE // 2)
            right, bottom = min(group.width, x + HEAD_SIDE // 2), min(group.height, y + HEAD_SIDE // 2)
            group.crop((left, top, right, bottom)).save(place / "head.png")


def _packaged(package: str, path: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"{package} is not installed: run `make env`.")
    return Path(spec.origin).parent / path


if __name__ == "__main__":
    main()
