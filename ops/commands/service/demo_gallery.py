"""The demo's gallery and photos, made from photos that come with the Python packages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ops.commands.photos import ASTRONAUT, GROUP_PHOTO, PORTRAIT, package_photo
from semblance.settings import Settings

ALTERED = 3
"""Number of the face in the group photo, counted from the left, that the demo looks for in altered form."""


@dataclass(frozen=True, slots=True)
class DemoPhoto:
    """A photo to find lookalikes of, and its title."""

    title: str
    file: Path


def prepare_gallery(folder: Path, settings: Settings) -> tuple[Path, list[DemoPhoto]]:
    """Make the gallery and the photos below `folder`, unless they exist, and return both.

    The gallery has the format of bulk ingestion. Raises ConfigurationError if a package lacks a photo.
    """
    gallery, altered = folder / "gallery", folder / "altered.jpg"
    group, portrait = package_photo(*GROUP_PHOTO), package_photo(*PORTRAIT)
    if not gallery.is_dir() or not altered.is_file():
        # Its imports take seconds, which only the first demo needs.
        from ops.commands.service.cutouts import build_gallery  # noqa: PLC0415

        build_gallery(gallery, altered, group=group, portrait=portrait, alter=ALTERED, settings=settings)
    return gallery, [
        DemoPhoto("Eileen Collins, astronaut (not in the gallery)", package_photo(*ASTRONAUT)),
        DemoPhoto(
            f"Person {ALTERED}, the gallery's own picture mirrored, darkened and recompressed", altered
        ),
    ]
