"""The demo's own gallery and probes, cut from photos that come with the Python packages.

Nothing is downloaded, and no photo is part of this project.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from semblance.errors import ConfigurationError
from semblance.settings import Settings

GROUP_PHOTO = ("insightface", "data/images/t1.jpg")
PORTRAIT = ("insightface", "data/images/Tom_Hanks_54745.png")
ASTRONAUT = ("skimage", "data/astronaut.png")

ALTERED = 3
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
    gallery, altered = folder / "gallery", folder / "altered.jpg"
    group, portrait = package_photo(*GROUP_PHOTO), package_photo(*PORTRAIT)
    if not gallery.is_dir() or not altered.is_file():
        # Its imports take seconds that only the first demo has to spend.
        from ops.commands.cutouts import build_gallery  # noqa: PLC0415

        build_gallery(gallery, altered, group=group, portrait=portrait, alter=ALTERED, settings=settings)
    return gallery, [
        Probe("Eileen Collins, astronaut (not in the gallery)", package_photo(*ASTRONAUT)),
        Probe(f"Person {ALTERED}, the gallery's own picture mirrored, darkened and recompressed", altered),
    ]


def package_photo(package: str, path: str) -> Path:
    """A file of an installed package; raises ConfigurationError where it is missing."""
    spec = find_spec(package)
    if spec is None or spec.origin is None or not (photo := Path(spec.origin).parent / path).is_file():
        raise ConfigurationError(f"The package {package} lacks {path}. Reinstall: `make clean-env env`.")
    return photo
