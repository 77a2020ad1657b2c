"""The demo's own gallery and probes, cut from photos that come with the Python packages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ops.commands.photos import ASTRONAUT, GROUP_PHOTO, PORTRAIT, package_photo
from semblance.settings import Settings

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
        from ops.commands.service.cutouts import build_gallery  # noqa: PLC0415

        build_gallery(gallery, altered, group=group, portrait=portrait, alter=ALTERED, settings=settings)
    return gallery, [
        Probe("Eileen Collins, astronaut (not in the gallery)", package_photo(*ASTRONAUT)),
        Probe(f"Person {ALTERED}, the gallery's own picture mirrored, darkened and recompressed", altered),
    ]
