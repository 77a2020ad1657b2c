"""Reads the pixels of a photo as RGB, whole or in parts, at full size or averaged down.

A file is decoded at most once for each size its decoder offers. The result stays in the decoder's own form
and becomes RGB strip by strip, so a large photo never exists twice. Coordinates are those of the file, before
any turn by EXIF.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias, cast

import cv2
import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import AvifImagePlugin
from PIL import Image as PillowImage

from deployments.vision import webp
from deployments.vision.jpeg import decode_whole, is_progressive
from deployments.vision.libvips import decode_png
from deployments.vision.parsing import DAMAGED, memory_for, open_file, parsing
from semblance.errors import UnreadableImageError
from semblance.types import Image

Span: TypeAlias = tuple[int, int, int, int]
"""x1, y1, x2, y2 in pixels, the last ones excluded."""

_JPEG_DIVISORS: Final = (8, 4, 2, 1)
"""Divisors by which a JPEG decoder can reduce while it decodes, at a fraction of the cost."""

_AT_ONCE: Final = 8_000_000
"""Pixels up to which a progressive JPEG is decoded at full size. Its smaller sizes take about 75 to 95 % as
long, and a look at a finer size would take that time again. Beyond it, memory counts more."""

_STRIP_PIXELS: Final = 200_000
"""Pixels converted to RGB at a time: few enough to stay in a core's cache."""

_INTEGER_WHITE: Final = (255.0, 65535.0, 4294967295.0)


class Pixels(Protocol):
    """Readable pixels."""

    def read(self, span: Span, divisor: int) -> Image:
        """Read a part, averaged over blocks of divisor x divisor pixels; the last blocks may be shorter.

        Args:
            span: Inside the photo. x1 and y1 are multiples of `divisor`; x2 and y2 are too, or end the photo.
            divisor: A power of two.

        Raises UnreadableImageError if the file is damaged or ends early.
        """
        ...


class JpegPixels:
    """An RGB or grey JPEG of width x height pixels, decoded at 1/1, 1/2, 1/4 or 1/8 as needed."""

    def __init__(self, data: bytes, width: int, height: int) -> None:
        self._data = data
        self._size = width, height
        self._decoded: tuple[int, Image] | None = None
        self._at_once = width * height <= _AT_ONCE and is_progressive(data)

    def read(self, span: Span, divisor: int) -> Image:
        """See Pixels."""
        by_decoder = 1 if self._at_once else next(each for each in _JPEG_DIVISORS if each <= divisor)
        if self._decoded is None or self._decoded[0] > by_decoder:
            width, height = (-(-side // by_decoder) for side in self._size)
            self._decoded = by_decoder, decode_whole(self._data, "RGB", width, height)
        done, pixels = self._decoded
        x1, y1, x2, y2 = span
        part = pixels[y1 // done : -(-y2 // done), x1 // done : -(-x2 // done)]
        return _average(part, divisor // done)


class DecodedPixels:
    """A photo decoded at full size, in its own mode."""

    def __init__(self, width: int, to_rgb: Callable[[Span], Image]) -> None:
        self._rows = max(1, _STRIP_PIXELS // width)
        self._to_rgb = to_rgb

    def read(self, span: Span, divisor: int) -> Image:
        """See Pixels."""
        x1, y1, x2, y2 = span
        size = (-(-(y2 - y1) // divisor), -(-(x2 - x1) // divisor), 3)
        read = np.empty(size, np.uint8)
        rows = max(1, self._rows // divisor) * divisor
        for top in range(y1, y2, rows):
            strip = _average(self._to_rgb((x1, top, x2, min(top + rows, y2))), divisor)
            start = (top - y1) // divisor
            read[start : start + len(strip)] = strip
        return read


def decode_pixels(data: bytes, format_name: str) -> DecodedPixels:
    """Decode the first photo of a file at full size.

    What Pillow puts through several copies takes a shorter way: of 50 megapixels its own would take 430 MB
    (AVIF) to 800 MB (WebP), and twice the time of libpng. Raises UnreadableImageError if the file is damaged
    or ends early.
    """
    if format_name == "WEBP":
        with parsing(DAMAGED), memory_for(webp.size_of(data)):
            return _array_pixels(_decode_webp(data), is_bgr=True)
    with parsing(DAMAGED), open_file(data) as image, memory_for(image.size):
        if format_name == "PNG" and image.mode in {"RGB", "RGBA"} and not image.info.get("interlace"):
            return _array_pixels(decode_png(data))
        if format_name == "AVIF" and image.mode in {"RGB", "RGBA"}:
            # As its `load` does, without the copy into a Pillow image.
            frame = cast(AvifImagePlugin.AvifImageFile, image)._decoder.get_frame(0)[0]
            shape = (image.height, image.width, len(image.mode))
            return _array_pixels(np.frombuffer(frame, np.uint8).reshape(shape))
        if format_name == "HEIF" and image.mode in {"RGB", "RGBA"}:
            return _array_pixels(np.asarray(pillow_heif.open_heif(data)))
        if format_name == "JPEG":
            # CMYK. Pillow ignores libjpeg's warnings.
            decode_whole(data, "CMYK", 1, 1)
        image.load()
        return _pillow_pixels(image)


def _decode_webp(data: bytes) -> NDArray[np.uint8]:
    """The pixels in OpenCV's order, BGR or BGRA."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    # The stubs say otherwise, but damaged data gives None.
    if pixels is None or pixels.dtype != np.uint8 or pixels.ndim != 3:
        raise UnreadableImageError(DAMAGED)
    return cast(NDArray[np.uint8], pixels)


def _array_pixels(pixels: NDArray[np.uint8], *, is_bgr: bool = False) -> DecodedPixels:
    """pixels: RGB or RGBA, or BGR or BGRA, [height, width, 3 or 4]."""
    to_rgb_order = cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA

    def to_rgb(span: Span) -> Image:
        x1, y1, x2, y2 = span
        part = pixels[y1:y2, x1:x2]
        if is_bgr:
            part = cast(NDArray[np.uint8], cv2.cvtColor(part, to_rgb_order))
        return part if part.shape[2] == 3 else _on_paper(PillowImage.fromarray(part))

    return DecodedPixels(pixels.shape[1], to_rgb)


def _pillow_pixels(image: PillowImage.Image) -> DecodedPixels:
    convert = _converter(image)
    return DecodedPixels(image.width, lambda span: convert(image.crop(span)))


def _converter(image: PillowImage.Image) -> Callable[[PillowImage.Image], Image]:
    """A function that converts a part of the image to RGB, uint8, from any mode."""
    if image.mode.startswith("I;16"):
        return lambda part: _grey_to_rgb(np.asarray(part).astype(np.float32) * (255.0 / 65535.0))
    if image.mode in {"I", "F"}:
        # Row by row and without NaN and infinity, which are not brightness.
        peak = max(
            float(_finite(image.crop((0, top, image.width, top + 1))).max()) for top in range(image.height)
        )
        whites = (1.0, *_INTEGER_WHITE) if image.mode == "F" else _INTEGER_WHITE
        white = next((white for white in whites if peak <= white), peak)
        return lambda part: _grey_to_rgb(_finite(part) * (255.0 / white))
    if image.has_transparency_data:
        return lambda part: _on_paper(part.convert("RGBA"))
    if image.mode == "RGB":
        return np.asarray
    return lambda part: np.asarray(part.convert("RGB"))


def _finite(image: PillowImage.Image) -> NDArray[np.float64]:
    return np.nan_to_num(np.asarray(image, np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def _on_paper(rgba: PillowImage.Image) -> Image:
    paper = PillowImage.new("RGB", rgba.size, (255, 255, 255))
    paper.paste(rgba, mask=rgba.getchannel("A"))
    return np.asarray(paper)


def _grey_to_rgb(grey: NDArray[np.floating]) -> Image:
    rounded = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    return np.repeat(rounded[:, :, None], 3, axis=2)


def _average(pixels: Image, divisor: int) -> Image:
    if divisor == 1:
        return pixels
    height, width = pixels.shape[:2]
    bottom, right = -height % divisor, -width % divisor
    if bottom or right:
        pixels = cast(Image, cv2.copyMakeBorder(pixels, 0, bottom, 0, right, cv2.BORDER_REPLICATE))
    # OpenCV averages blocks of 2 x 2 pixels four times faster than larger ones.
    while divisor > 1:
        size = (pixels.shape[1] // 2, pixels.shape[0] // 2)
        pixels = cast(Image, cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
        divisor //= 2
    return pixels
