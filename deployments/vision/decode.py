"""Decodes a photo to upright RGB pixels, and checks every limit before decoding.

Formats: JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF and HEIC. No other parser ever sees the bytes. Files that hold
more than plain RGB are handled as follows.

- Only the first frame of an animation or page of a document is decoded, so their number costs no memory.
- Transparent pixels are composited over white, as nearly every viewer does. The colour of fully transparent
  pixels is arbitrary, often black, and would put dark masks around faces.
- 16-bit PNG and TIFF are scaled to 8 bits. Where a file does not say its white (32-bit integers and
  floating point), the smallest of 1, 255, 65535 and 2**32 - 1 that holds the brightest pixel is white.
- CMYK is converted without its profile, and embedded ICC profiles are ignored: the nets were trained on
  unconverted pixels. Only the skin tone of a wide-gamut photo suffers, by a few CIELAB units.
- A file that ends early is refused even if some rows could be saved: half a face is a wrong match. So is a
  JPEG that was cut and closed with an end mark. A JPEG or PNG that lacks only its end mark is accepted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags
from PIL import Image as PillowImage

from deployments.vision import png
from deployments.vision.colours import in_srgb
from deployments.vision.jpeg import number_of_scans
from deployments.vision.parsing import ACCEPTED, NOT_A_PICTURE, open_file, parsing
from deployments.vision.pixels import JpegPixels, Pixels, Span, decode_pixels
from semblance.errors import ImageTooCostlyError, ImageTooLargeError, UnreadableImageError
from semblance.sizes import byte_size
from semblance.types import Image

MOST_OBLONG: Final = 20
"""Largest ratio of the longer to the shorter side. Phones' longest panoramas have about 15. Beyond this a
face hardly fits, and the square that a turned image needs grows with the longer side alone."""

MOST_AVIF_PIXELS: Final = 7680 * 4320
"""Largest width x height of an AVIF, that of an 8K picture. Its decoder holds 8.5 bytes of memory for each
pixel, 12 with an alpha channel and colours at full size; that is 400 MB."""

MOST_HEIC_TILE_PIXELS: Final = 7680 * 4320
"""Largest width x height of a tile of a HEIC, or of one without tiles. A single thread decodes it, which
would take 2 seconds for 50 megapixels of noise in 10 MB."""

MOST_SCANNED_PIXELS: Final = 16 * 50_000_000
"""Largest width x height x scans of a JPEG. Each scan visits all pixels, which takes a second for as many as
that even if it changes none. Encoders write 10 scans of a colour picture, some of them up to 16."""

# The decoders of these formats apply the orientation themselves.
_TURNED_BY_DECODER = frozenset({"TIFF", "HEIF"})


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What a file's header says.

    format: one of `FORMATS`. width, height: pixels of the upright image, after EXIF orientation.
    orientation: 1..8, the EXIF turn that decoding still has to apply; 1 where the decoder applies it.
    fast_jpeg: an RGB or grey JPEG, which can be decoded at a fraction of its size.
    """

    format: str
    width: int
    height: int
    orientation: int
    fast_jpeg: bool

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height as stored in the file, before any turn."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def read_header(data: bytes, *, max_bytes: int, max_pixels: int) -> ImageHeader:
    """Check a photo against the limits. Reads its header and decodes nothing.

    Args:
        data: The whole file.
        max_bytes: Largest accepted length.
        max_pixels: Largest accepted width x height.

    Raises ImageTooLargeError over either limit, always over 179 million pixels, for an AVIF over
    MOST_AVIF_PIXELS, for a HEIC with a tile over MOST_HEIC_TILE_PIXELS, and where one side is more than
    MOST_OBLONG times as long as the other. Raises ImageTooCostlyError for a JPEG over MOST_SCANNED_PIXELS,
    and UnreadableImageError for anything that is not a photo
    in one of the supported formats.
    """
    if not data:
        raise UnreadableImageError(f"The file is empty. Send a {ACCEPTED} file.")
    if len(data) > max_bytes:
        raise ImageTooLargeError(
            f"The file is larger than {byte_size(max_bytes)}. "
            "Send a smaller or more strongly compressed photo."
        )
    with parsing(NOT_A_PICTURE), open_file(data) as image:
        # Pillow calls a JPEG followed by further images (depth, stereo) MPO.
        format_name = "JPEG" if image.format == "MPO" else str(image.format)
        width, height = image.size
        orientation = 1 if format_name in _TURNED_BY_DECODER else _orientation(image)
        fast_jpeg = format_name == "JPEG" and image.mode in {"RGB", "L"}
        kind, max_pixels = _pixel_limit(image, format_name, max_pixels)
    if width < 1 or height < 1:
        raise UnreadableImageError(NOT_A_PICTURE)
    if width * height > max_pixels:
        raise ImageTooLargeError(
            f"The photo has {width} x {height} = {width * height:,} pixels; at most {max_pixels:,} pixels "
            f"are accepted of {kind}. Send it scaled down."
        )
    if max(width, height) > MOST_OBLONG * min(width, height):
        raise ImageTooLargeError(
            f"The photo has {width} x {height} pixels; one side may be at most {MOST_OBLONG} times "
            "as long as the other. Cut out the part that shows the face."
        )
    if format_name == "JPEG" and (scans := number_of_scans(data)) * width * height > MOST_SCANNED_PIXELS:
        raise ImageTooCostlyError(
            f"The photo has {width} x {height} pixels in {scans:,} scans, which take too long to decode. "
            "Export it again, or send it scaled down."
        )
    if orientation >= 5:
        width, height = height, width
    return ImageHeader(format_name, width, height, orientation, fast_jpeg)


class Photo(Protocol):
    """An open photo, upright, that can be read at several sizes."""

    @property
    def header(self) -> ImageHeader:
        """The result of `read_header`."""
        ...

    def whole(self, long_side: int) -> tuple[Image, float]:
        """The whole photo, reduced as far as its long side stays at least `long_side`. See `decode`."""
        ...

    def part(self, span: Span, divisor: int) -> tuple[Image, tuple[int, int]]:
        """The part within `span`, averaged over blocks of divisor x divisor pixels.

        Args:
            span: x1, y1, x2, y2 in full-size pixels, x2 and y2 excluded, cut at the edges of the photo.
            divisor: A power of two.

        Returns the image, uint8 RGB, and the full-size x and y at which its first block begins. Blocks are
        aligned to the file, so the part is slightly larger than the span. The last block may reach beyond the
        photo. If the photo had to be turned, that block comes first and begins at a negative coordinate.
        """
        ...

    def displayed(self, long_side: int) -> Image:
        """The whole photo as a browser shows it: in sRGB, with a long side of at most `long_side`."""
        ...


class OpenPhoto:
    """An open photo in memory; see Photo. Each size is decoded on first use.

    Its methods raise UnreadableImageError if the file is damaged or ends early.
    """

    def __init__(self, data: bytes, header: ImageHeader) -> None:
        # Each step parses the file again, and a PNG without metadata is not copied for it.
        self._data = png.without_metadata(data) if header.format == "PNG" else data
        self._header = header
        self._pixels: Pixels | None = None

    @property
    def header(self) -> ImageHeader:
        return self._header

    def whole(self, long_side: int) -> tuple[Image, float]:
        """See Photo."""
        divisor = _divisor(max(self._header.width, self._header.height), long_side)
        return self.part((0, 0, self._header.width, self._header.height), divisor)[0], 1.0 / divisor

    def part(self, span: Span, divisor: int) -> tuple[Image, tuple[int, int]]:
        """See Photo."""
        header = self._header
        width, height = header.stored_size
        x1, y1, x2, y2 = _blocks(_lay_down(span, header), (width, height), divisor)
        if self._pixels is None:
            if header.fast_jpeg:
                self._pixels = JpegPixels(self._data, width, height)
            else:
                self._pixels = decode_pixels(self._data, header.format)
        pixels = self._pixels.read((x1, y1, min(x2, width), min(y2, height)), divisor)
        left, top, _, _ = _stand_up((x1, y1, x2, y2), header)
        return _turn_upright(pixels, header.orientation), (left, top)

    def displayed(self, long_side: int) -> Image:
        """See Photo."""
        return in_srgb(self._data, lambda: self.whole(long_side)[0], long_side)


def decode(data: bytes, header: ImageHeader, *, long_side: int | None = None) -> tuple[Image, float]:
    """Decode to upright RGB.

    Args:
        data, header: The file and the result of `read_header`.
        long_side: Pixels of the long side that the caller needs. The photo is averaged down by the largest
            power of two that leaves at least as many. None decodes at full size.

    Returns the image, uint8 [height, width, 3], and its scale in decoded pixels per full-size pixel: exactly
    1, 1/2, 1/4, ... A decoded pixel covers a block of full-size pixels that begins at a multiple of 1/scale,
    so the point x of the decoded image is (x + 0.5) / scale - 0.5 of the full one. If a size does not divide
    evenly, the last column and row are shorter blocks. If the photo had to be turned, they come first, and
    the formula is off by less than one decoded pixel.

    Raises UnreadableImageError if the data is damaged or ends early.
    """
    return OpenPhoto(data, header).whole(max(header.width, header.height) if long_side is None else long_side)


def _divisor(full: int, needed: int) -> int:
    """The largest power of two by which `full` pixels can be divided with at least `needed` left."""
    divisor = 1
    while -(-full // (2 * divisor)) >= max(1, needed) and 2 * divisor <= full:
        divisor *= 2
    return divisor


def _blocks(span: Span, size: tuple[int, int], divisor: int) -> Span:
    """The whole blocks that cover the part of the span inside the photo, at least one."""
    starts = [min(max(0, v), limit - 1) // divisor * divisor for v, limit in zip(span[:2], size, strict=True)]
    stops = [-(-min(v, limit) // divisor) * divisor for v, limit in zip(span[2:], size, strict=True)]
    x2, y2 = (max(stop, start + divisor) for start, stop in zip(starts, stops, strict=True))
    return starts[0], starts[1], x2, y2


def _lay_down(span: Span, header: ImageHeader) -> Span:
    """From upright coordinates to those of the file: the inverse of `_turn_upright`."""
    x1, y1, x2, y2 = _mirror(span, header)
    return (y1, x1, y2, x2) if header.orientation >= 5 else (x1, y1, x2, y2)


def _stand_up(span: Span, header: ImageHeader) -> Span:
    x1, y1, x2, y2 = span
    return _mirror((y1, x1, y2, x2) if header.orientation >= 5 else span, header)


def _mirror(span: Span, header: ImageHeader) -> Span:
    x1, y1, x2, y2 = span
    if header.orientation in {2, 3, 6, 7}:
        x1, x2 = header.width - x2, header.width - x1
    if header.orientation in {3, 4, 7, 8}:
        y1, y2 = header.height - y2, header.height - y1
    return x1, y1, x2, y2


def _turn_upright(pixels: Image, orientation: int) -> Image:
    """Undo an EXIF orientation (CIPA DC-008, tag 0x0112): 1..8, any other value is upright."""
    if orientation in {5, 6, 7, 8}:
        pixels = _as_image(cv2.transpose(pixels))
    if orientation in {2, 6}:
        pixels = _as_image(cv2.flip(pixels, 1))
    elif orientation in {3, 7}:
        pixels = _as_image(cv2.flip(pixels, -1))
    elif orientation in {4, 8}:
        pixels = _as_image(cv2.flip(pixels, 0))
    return pixels


def _pixel_limit(image: PillowImage.Image, format_name: str, max_pixels: int) -> tuple[str, int]:
    """What the limit on a file's pixels is for, in words, and that limit: at most `max_pixels`."""
    if format_name == "AVIF":
        return "an AVIF", min(max_pixels, MOST_AVIF_PIXELS)
    if format_name == "HEIF":
        tiling = image.info.get("tiling") or {"tile_width": image.width, "tile_height": image.height}
        if tiling["tile_width"] * tiling["tile_height"] > MOST_HEIC_TILE_PIXELS:
            return "a HEIC without tiles", min(max_pixels, MOST_HEIC_TILE_PIXELS)
    return "a photo", max_pixels


def _orientation(image: PillowImage.Image) -> int:
    try:
        # The base class's method: PNG's decodes the photo to look for late chunks.
        value = PillowImage.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except Exception:
        # Broken EXIF is common, and no reason to refuse a photo with sound pixels.
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _as_image(pixels: NDArray[np.generic]) -> Image:
    return np.ascontiguousarray(pixels, dtype=np.uint8)
