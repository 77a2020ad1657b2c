"""The demo's own gallery and probes, cut from photos that come with the Python packages.

Nothing is downloaded, and no photo is part of this project.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from deployments.detector import FaceFinder
from deployments.packs.registry import load_pack
from semblance.errors import ConfigurationError
from semblance.settings import Settings
from semblance.types import Image

GROUP_PHOTO = ("insightface", "data/images/t1.jpg")
PORTRAIT = ("insightface", "data/images/Tom_Hanks_54745.png")
ASTRONAUT = ("skimage", "data/astronaut.png")

GROUP_SIZE = 6

_MARGIN = 1.2
"""Half the side of a cut-out in lengths of the face's box: head and some background."""

_BORDER = 0.4
"""Grey border of the bare face crop as a share of its side; without one it hardly looks like a head."""

_ALTERED = 2
"""Which face of the group photo, counted from the left, is used again, altered, as a probe."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A photo to find the lookalikes of, and what to call it."""

    title: str
    file: Path


def prepare_gallery(folder: Path, settings: Settings) -> tuple[Path, list[Probe]]:
    """Make the gallery and the probes below `folder` unless they are there; returns both.

    The gallery has the format of bulk ingestion. Raises ConfigurationError where a package lacks a photo.
    """
    gallery = folder / "gallery"
    altered = folder / "altered.jpg"
    if not gallery.is_dir() or not altered.is_file():
        _build(folder, gallery, altered, settings)
    return gallery, [
        Probe("Eileen Collins, astronaut (not in the gallery)", _photo(*ASTRONAUT)),
        Probe(f"Person {_ALTERED + 1}, the gallery's own picture mirrored, darkened, recompressed", altered),
    ]


def _build(folder: Path, gallery: Path, altered: Path, settings: Settings) -> None:
    # Built aside and moved: an interrupted run leaves no half of a gallery.
    building = folder / "building"
    shutil.rmtree(building, ignore_errors=True)
    shutil.rmtree(gallery, ignore_errors=True)
    people = building / "group"
    people.mkdir(parents=True)
    entries = []
    faces = _cut_faces(_photo(*GROUP_PHOTO), settings)
    for number, face in enumerate(faces, start=1):
        name = f"person-{number}.png"
        _write(people / name, face)
        entries.append(
            {
                "filename": name,
                "name": f"Person {number}",
                "bio": f"Number {number} from the left in {GROUP_PHOTO[0]}'s t1.jpg",
                "category": "group",
            }
        )
    actors = building / "actors"
    actors.mkdir()
    _write(actors / "tom-hanks.png", _with_border(_read(_photo(*PORTRAIT))))
    entries.append(
        {
            "filename": "tom-hanks.png",
            "name": "Tom Hanks",
            "bio": "American actor",
            "category": "actors",
            "gender": "male",
        }
    )
    (building / "metadata.json").write_text(json.dumps({"celebrities": entries}, indent=2))
    mirrored = np.ascontiguousarray(faces[_ALTERED][:, ::-1])
    _write(altered, cv2.convertScaleAbs(mirrored, alpha=0.75).astype(np.uint8), quality=60)
    building.rename(gallery)


def _cut_faces(photo: Path, settings: Settings) -> list[Image]:
    """Every face of the group photo with its surroundings, from left to right."""
    detection = FaceFinder(load_pack(settings), settings).detect(photo.read_bytes(), None)
    if len(detection.faces) != GROUP_SIZE:
        raise ConfigurationError(
            f"The model pack {settings.pack} finds {len(detection.faces)} of {GROUP_SIZE} faces in {photo}; "
            "use SEMBLANCE_PACK=open, or give a gallery of your own."
        )
    image = _read(photo)
    cuts = []
    for face in sorted(detection.faces, key=lambda face: face.bbox.x1):
        box = face.bbox
        half = _MARGIN * max(box.width, box.height)
        x, y = (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2
        top, left = max(0, round(y - half)), max(0, round(x - half))
        cuts.append(image[top : round(y + half), left : round(x + half)])
    return cuts


def _with_border(image: Image) -> Image:
    width = round(_BORDER * max(image.shape[:2]))
    grey = (127, 127, 127)
    bordered = cv2.copyMakeBorder(image, width, width, width, width, cv2.BORDER_CONSTANT, value=grey)
    return np.asarray(bordered, np.uint8)


def _photo(package: str, path: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None or not (photo := Path(spec.origin).parent / path).is_file():
        raise ConfigurationError(f"The package {package} lacks {path}. Reinstall it with `make env`.")
    return photo


def _read(path: Path) -> Image:
    """RGB or BGR does not matter here: it is only cut and written back."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ConfigurationError(f"{path} is not readable. Reinstall the package with `make env`.")
    return np.asarray(image, np.uint8)


def _write(path: Path, image: Image, quality: int = 95) -> None:
    if not cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, quality]):
        raise ConfigurationError(f"Cannot write {path}.")
