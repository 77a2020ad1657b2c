"""Cutting the demo gallery out of a group photo."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np

from deployments.faces.finder import FaceFinder
from deployments.packs.registry import load_pack
from semblance.errors import ConfigurationError
from semblance.files import sync_folder, write_file
from semblance.settings import Settings
from semblance.types import Image

GROUP_SIZE = 6
"""Number of faces in the group photo."""

_MARGIN = 1.2
"""Half the side of a cut-out, in sides of the face's box: the head and some background."""

_BORDER = 0.4
"""Grey border around the bare face crop, as a share of its side. Without it the crop hardly looks like a
head."""

_DARKER = 0.75
_JPEG_QUALITY = 60


def build_gallery(
    gallery: Path, altered: Path, *, group: Path, portrait: Path, alter: int, settings: Settings
) -> None:
    """Make a folder for bulk ingestion, and an altered photo of one face in it.

    Args:
        gallery: folder to make, with each face of `group`, and `portrait`.
        altered: photo to make of one face of the gallery: mirrored, darkened and compressed again.
        group: photo of GROUP_SIZE faces.
        portrait: photo of one more person.
        alter: number of the face to alter, counted from the left.
        settings: name the model pack that finds the faces.

    Raises ConfigurationError if the pack does not find every face.
    """
    # Built under a temporary name and moved, so that an interrupted run leaves no partial gallery.
    building = gallery.with_name("building")
    for leftover in (building, gallery):
        shutil.rmtree(leftover, ignore_errors=True)
    (building / "group").mkdir(parents=True)
    (building / "actors").mkdir()
    faces = _cut_faces(group, settings)
    entries = []
    for number, face in enumerate(faces, start=1):
        name = f"person-{number}.png"
        _write(building / "group" / name, face)
        bio = f"Number {number} from the left in {group.name}"
        entries.append({"filename": name, "name": f"Person {number}", "bio": bio, "category": "group"})
    name = "tom-hanks.png"
    _write(building / "actors" / name, _with_border(_read(portrait)))
    entries.append({"filename": name, "name": "Tom Hanks", "category": "actors", "gender": "male"})
    write_file(building / "metadata.json", json.dumps({"celebrities": entries}, indent=2))
    mirrored = np.ascontiguousarray(faces[alter - 1][:, ::-1])
    darkened = np.asarray(cv2.convertScaleAbs(mirrored, alpha=_DARKER), np.uint8)
    _write(altered, darkened, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    building.rename(gallery)
    sync_folder(gallery.parent)


def _cut_faces(photo: Path, settings: Settings) -> list[Image]:
    """Every face of the group photo with its surroundings, from left to right: images in BGR."""
    detection = FaceFinder(load_pack(settings), settings).detect(photo.read_bytes(), None)
    if len(detection.faces) != GROUP_SIZE:
        raise ConfigurationError(
            f"The model pack {settings.pack} finds {len(detection.faces)} of {GROUP_SIZE} faces in {photo}; "
            "use SEMBLANCE_PACK=open, or your own gallery."
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


def _read(path: Path) -> Image:
    """The image as OpenCV reads it, blue first. It is only cut and written back."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ConfigurationError(f"{path} cannot be read. Reinstall its package with `make clean-env env`.")
    return np.asarray(image, np.uint8)


def _write(path: Path, image: Image, options: list[int] | None = None) -> None:
    done, encoded = cv2.imencode(path.suffix, image, options or [])
    if not done:
        raise ConfigurationError(f"Cannot write {path}.")
    write_file(path, encoded.tobytes())
