"""Which formats are read, and how their parsers are kept in check."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from math import inf
from typing import Final

import pillow_heif
from PIL import Image as PillowImage
from PIL import ImageFile

from deployments.vision import png
from semblance.errors import ImageTooLargeError, UnreadableImageError

# Without the other pictures in the file, as depth maps: each is one more to parse.
pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
"""Pillow's names of the formats that are read; MPO, a JPEG followed by others, opens as JPEG."""

ACCEPTED: Final = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC"
"""The formats as people know them."""

NOT_A_PICTURE: Final = f"The file is not a readable picture. Send a {ACCEPTED} file."
DAMAGED: Final = "The picture is damaged or incomplete and could not be decoded. Export or upload it again."


_MOST_READS: Final = 100_000
"""How often a parser may read while it opens a file. Pillow's read four times a segment of a JPEG and twice
a block of a GIF, at which a megabyte of XMP takes some 30,000; millions only keep the parser busy."""


class _Source(BytesIO):
    """A file in memory that can be read so many times, while `reads_left` is not lifted."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.reads_left: float = _MOST_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads_left -= 1
        if self.reads_left < 0:
            # None that Pillow takes for a sign to try its next parser.
            raise UnreadableImageError(NOT_A_PICTURE)
        return super().read(size)


def open_file(data: bytes) -> ImageFile.ImageFile:
    """The picture as Pillow opens it, nothing decoded yet; its orientation is that of EXIF alone.

    Raises whatever its parsers do, see `parsing`, and UnreadableImageError for a file in so many pieces that
    to open it would take seconds.
    """
    if data.startswith(png.SIGNATURE):
        data = png.without_metadata(data)
    source = _Source(data)
    image = PillowImage.open(source, formats=FORMATS)
    source.reads_left = inf
    # Where EXIF says none, Pillow takes the orientation of XMP, which no browser does.
    for xmp in ("xmp", "XML:com.adobe.xmp"):
        image.info.pop(xmp, None)
    # A JPEG's was read already, in search of its resolution.
    image._exif = None
    return image


@contextmanager
def parsing(message: str) -> Iterator[None]:
    """Turn whatever a parser raises into UnreadableImageError(message), and keep its warnings quiet.

    MemoryError passes: it is no fault of the file.
    """
    try:
        with _quiet():
            yield
    except MemoryError:
        raise
    except PillowImage.DecompressionBombError as error:
        # Pillow's own limit, about 179 million pixels, which it applies while it reads a header.
        raise ImageTooLargeError("The picture claims far too many pixels. Send it scaled down.") from error
    except Exception as error:
        # Hostile files make parsers raise nearly anything: SyntaxError, struct.error, zlib.error, ...
        raise UnreadableImageError(message) from error


_quiet_lock = threading.Lock()
_quiet_depth = 0
_quiet_filters: warnings.catch_warnings[None] | None = None


@contextmanager
def _quiet() -> Iterator[None]:
    """Ignore the parsers' warnings about odd files: they are no concern of the operator.

    `warnings.catch_warnings` alone restores filters in the wrong order when two threads overlap; here the
    first to enter installs the filter and the last to leave removes it.
    """
    global _quiet_depth, _quiet_filters  # noqa: PLW0603
    with _quiet_lock:
        _quiet_depth += 1
        if _quiet_depth == 1:
            _quiet_filters = warnings.catch_warnings()
            _quiet_filters.__enter__()
            # Attributed to the parser or, by its stack level, to a module of this package.
            package = __name__.rpartition(".")[0].replace(".", "[.]")
            warnings.filterwarnings("ignore", module=rf"PIL\.|pillow_heif|{package}")
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0 and _quiet_filters is not None:
                _quiet_filters.__exit__(None, None, None)
                _quiet_filters = None
