"""An image of pairs of faces, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from deployments.faces.pipeline import LocalPipeline
from ops.commands.models.photo_files import read_photo
from semblance.errors import ConfigurationError
from semblance.settings import Settings

FACE = 112
"""Side of a face in pixels, that of the finder's portraits."""
COLUMNS = 4
"""Pairs in a row."""
MARGIN = 12
TEXT = 14
"""Height of a line of text in pixels."""
MOST_LETTERS = 2 * FACE // 7
"""Letters that fit above a pair."""


def write_sheet(
    file: Path, pairs: Sequence[tuple[str, tuple[Path, Path]]], pipeline: LocalPipeline, settings: Settings
) -> None:
    """Write an image with the largest faces of pairs of photos, each pair below its caption and the names of
    the photos.

    Args:
        file: its suffix names the format.
        pairs: a caption, and two photos in which the pipeline finds a face.

    Raises ConfigurationError if the file cannot be written.
    """
    width, height = 2 * FACE + MARGIN, FACE + 3 * TEXT + MARGIN
    rows = -(-len(pairs) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * width + MARGIN, rows * height + MARGIN), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT - 3)
    for number, (caption, photos) in enumerate(pairs):
        x, y = MARGIN + number % COLUMNS * width, MARGIN + number // COLUMNS * height
        for line, text in enumerate((caption, *(photo.name for photo in photos))):
            draw.text((x, y + line * TEXT), text[-MOST_LETTERS:], "black", font)
        for place, photo in enumerate(photos):
            face = pipeline.finder.detect(read_photo(photo, settings.max_image_bytes), 1).faces[0]
            portrait = Image.fromarray(face.crops.portrait).resize((FACE, FACE))
            sheet.paste(portrait, (x + place * FACE, y + 3 * TEXT))
    try:
        sheet.save(file)
    except (OSError, ValueError) as exc:
        raise ConfigurationError(
            f"The sheet cannot be written to {file}: {exc}. Name a file that ends in .png or .jpg, in a "
            "folder that exists."
        ) from exc
