"""Which formats are read, and how their parsers are kept in check."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from math import inf
from typing import Final

import numpy as np
import pillow_heif
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    ImageFile,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL import Image as PillowImage

from deployments.vision import png, webp
from semblance.errors import ImageTooLargeError, UnreadableImageError

# The first scan of a progressive JPEG within a TIFF that libtiff refuses (tif_jpeg.c; the 100th by default).
os.environ.setdefault("LIBTIFF_JPEG_MAX_ALLOWED_SCAN_NUMBER", "17")

# Leave out the other images in the file, such as depth maps: each is one more thing to parse.
pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
"""Pillow's names of the accepted formats. MPO, a JPEG followed by other images, opens as JPEG."""

PARSERS: Final = (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
"""Pillow's modules for these formats. If one were missing, the first photo would make Pillow load all of its
modules."""

ACCEPTED: Final = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC"
"""The formats, as error messages name them."""

NOT_A_PICTURE: Final = f"The file is not a readable photo. Send a {ACCEPTED} file."
DAMAGED: Final = "The photo is damaged or incomplete and could not be decoded. Export or upload it again."


_MOST_READS: Final = 100_000
"""Maximum number of reads while a parser opens a file. Pillow reads four times per JPEG segment and twice per
GIF block, so a megabyte of XMP takes about 30,000 reads. Millions only keep the parser busy."""


_NO_MEMORY: Final = ("out of memory", "insufficient memory", "memory allocation", "creating thread")
"""Parts of the errors of parsers, in small letters, where the process may take no more memory."""

_LEAST_BYTES_A_PIXEL: Final = 8
"""What the decoders take that may not say when they lack memory: of 12 megapixels, libwebp 8 to open a file,
libheif 8 to 10, libavif with dav1d 8.5 to 14."""


class _Source(BytesIO):
    """A file in memory that limits the number of reads until `reads_left` is lifted."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.reads_left: float = _MOST_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads_left -= 1
        if self.reads_left < 0:
            # Not an exception on which Pillow would try its next parser.
            raise UnreadableImageError(NOT_A_PICTURE)
        return super().read(size)


def open_file(data: bytes) -> ImageFile.ImageFile:
    """Open a photo with Pillow without decoding it. Its orientation is the one in EXIF. A WebP cannot be
    decoded from what is opened here; see `webp.without_pixels`.

    Raises the errors of Pillow's parsers (see `parsing`), and UnreadableImageError for a file in so many
    pieces that opening it would take seconds.
    """
    if data.startswith(png.SIGNATURE):
        data = png.without_metadata(data)
    source = _Source(webp.without_pixels(data))
    with memory_for(webp.size_of(data)):
        image = PillowImage.open(source, formats=FORMATS)
    source.reads_left = inf
    # Where EXIF has no orientation, Pillow uses the one in XMP. No browser does.
    for xmp in ("xmp", "XML:com.adobe.xmp"):
        image.info.pop(xmp, None)
    # Pillow has already read a JPEG's EXIF data to find the resolution.
    image._exif = None
    return image


@contextmanager
def parsing(message: str) -> Iterator[None]:
    """Turn any error of a parser into UnreadableImageError(message), and silence its warnings.

    MemoryError passes through, and is raised for errors that mean it: it is not the file's fault.
    """
    try:
        with _quiet():
            yield
    except MemoryError:
        raise
    except PillowImage.DecompressionBombError as error:
        # Pillow applies its own limit, about 179 million pixels, while it reads a header.
        raise ImageTooLargeError("The photo claims far too many pixels. Send it scaled down.") from error
    except Exception as error:
        if any(sign in str(error).lower() for sign in _NO_MEMORY):
            raise MemoryError(str(error)) from error
        # Hostile files make parsers raise nearly anything: SyntaxError, struct.error, zlib.error, ...
        # Their traceback leads to this context's own frames and back, and the photo would stay with them.
        raise UnreadableImageError(message) from error.with_traceback(None)


@contextmanager
def memory_for(size: tuple[int, int] | None) -> Iterator[None]:
    """Raise MemoryError for an error of a decoder, which may not say why it failed, if the process has
    no memory for a photo of this width and height; None: unknown."""
    try:
        yield
    except Exception as error:
        if size is not None and _is_too_much(size[0] * size[1] * _LEAST_BYTES_A_PIXEL):
            raise MemoryError(str(error)) from error
        raise


def _is_too_much(count: int) -> bool:
    """Whether the process may not take `count` bytes more. They are reserved, and never touched."""
    try:
        np.empty(count, np.uint8)
    except MemoryError:
        return True
    return False


_quiet_lock = threading.Lock()
_quiet_depth = 0
_quiet_filters: warnings.catch_warnings[None] | None = None


@contextmanager
def _quiet() -> Iterator[None]:
    """Ignore the parsers' warnings about odd files: an operator can do nothing about them.

    `warnings.catch_warnings` alone restores filters in the wrong order when two threads overlap. Here the
    first thread to enter installs the filter, and the last to leave removes it.
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
