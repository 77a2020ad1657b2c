"""From the bytes of a picture file to upright RGB pixels, with every limit checked before decoding.

Formats: JPEG, PNG, WebP, BMP, TIFF, AVIF and HEIC; no other parser ever sees the bytes. What a file can
hold besides plain RGB is settled as follows.

- Of animations and several pages only the first frame is decoded, so their number costs no memory.
- Transparent pixels are composited over white, the paper that nearly every viewer puts under them; what
  lies beneath full transparency is arbitrary, often black, and would put dark masks around faces.
- 16-bit PNG and TIFF are scaled to 8 bits. Where a file does not say its white (32-bit integers and
  floating point), the smallest of 1, 255, 65535 and 2**32 - 1 that holds the brightest pixel is white.
- CMYK is converted without its profile, and embedded ICC profiles are ignored: the nets were trained on
  unconverted pixels, and of a wide-gamut photo only the skin tone suffers, by a few CIELAB units.
- A file that ends early is refused, also where some rows could be saved: half a face is a wrong match.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import cv2
import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import ExifTags, ImageFile
from PIL import Image as PillowImage

from semblance.errors import ImageTooLargeError, UnreadableImageError
from semblance.types import Image

pillow_heif.register_heif_opener()

FILE_TYPES: Final = {
    "JPEG": ("jpg", "image/jpeg"),
    "PNG": ("png", "image/png"),
    "WEBP": ("webp", "image/webp"),
    "BMP": ("bmp", "image/bmp"),
    "TIFF": ("tiff", "image/tiff"),
    "AVIF": ("avif", "image/avif"),
    "HEIF": ("heic", "image/heic"),
}
"""Suffix and media type by format."""

FORMATS: Final = tuple(FILE_TYPES)
"""Pillow's names of the formats that are read; MPO, a JPEG followed by others, opens as JPEG."""

_NOT_A_PICTURE = "The file is not a readable picture. Send a JPEG, PNG, WebP, BMP, TIFF, AVIF or HEIC file."
_DAMAGED = "The picture is damaged or incomplete and could not be decoded. Export or upload it again."

# Formats whose decoder applies the orientation itself, so that nothing is left to do.
_TURNED_BY_DECODER = frozenset({"TIFF", "HEIF"})

_REDUCED: Final = (
    (8, cv2.IMREAD_REDUCED_COLOR_8),
    (4, cv2.IMREAD_REDUCED_COLOR_4),
    (2, cv2.IMREAD_REDUCED_COLOR_2),
)

_INTEGER_WHITE: Final = (255.0, 65535.0, 4294967295.0)


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What a file says of itself before anything is decoded.

    format: one of `FORMATS`. width, height: pixels of the upright image, after EXIF orientation.
    orientation: 1..8, the EXIF turn that decoding still has to apply; 1 where the decoder does it itself.
    fast_jpeg: an RGB or grey JPEG, which can be decoded at a fraction of its size.
    """

    format: str
    width: int
    height: int
    orientation: int
    fast_jpeg: bool

    @property
    def suffix(self) -> str:
        """What names of such files end with, without the dot; told from the content, not from a name."""
        return FILE_TYPES[self.format][0]

    @property
    def content_type(self) -> str:
        """The format's media type."""
        return FILE_TYPES[self.format][1]


def read_header(data: bytes, *, max_bytes: int, max_pixels: int) -> ImageHeader:
    """Check a picture file against the limits; reads its header, decodes nothing.

    data: the whole file. max_bytes: largest accepted length. max_pixels: largest accepted width x height.

    Raises ImageTooLargeError over either limit (and beyond 179 million pixels, whatever max_pixels says) and
    UnreadableImageError for anything that is not a picture
    in one of the supported formats.
    """
    if not data:
        raise UnreadableImageError("The file is empty. Send a JPEG, PNG, WebP, BMP, TIFF, AVIF or HEIC file.")
    if len(data) > max_bytes:
        raise ImageTooLargeError(
            f"The file has {len(data) / 2**20:.1f} MB; at most {max_bytes / 2**20:.1f} MB are accepted. "
            "Send a smaller or more strongly compressed picture."
        )
    with _parsing(_NOT_A_PICTURE), _open(data) as image:
        # MPO is what Pillow calls a JPEG with further pictures (depth, stereo) behind the first.
        format_name = "JPEG" if image.format == "MPO" else str(image.format)
        width, height = image.size
        orientation = 1 if format_name in _TURNED_BY_DECODER else _orientation(image)
        fast_jpeg = format_name == "JPEG" and image.mode in {"RGB", "L"}
    if width < 1 or height < 1:
        raise UnreadableImageError(_NOT_A_PICTURE)
    if width * height > max_pixels:
        raise ImageTooLargeError(
            f"The picture has {width} x {height} = {width * height:,} pixels; at most {max_pixels:,} pixels "
            "are accepted. Send it scaled down."
        )
    if orientation >= 5:
        width, height = height, width
    return ImageHeader(format_name, width, height, orientation, fast_jpeg)


def decode(data: bytes, header: ImageHeader, *, long_side: int | None = None) -> tuple[Image, float]:
    """Decode to upright RGB.

    data, header: the file and what `read_header` said of it. long_side: how many pixels of the longer side
    the caller needs; a plain JPEG is then decoded at 1/2, 1/4 or 1/8 of its size, the smallest whose long
    side does not fall below it. Other files, and all without long_side, are decoded at full size.

    Returns the image, uint8 [height, width, 3], and its scale, decoded pixels per full-size pixel: 1, 1/2,
    1/4 or 1/8 exactly. A decoded pixel then covers a block of full-size pixels whose first begins at a
    multiple of 1/scale, so that the point x of the decoded image is (x + 0.5) / scale - 0.5 of the full one.
    Of a size that does not divide evenly the last column and row are blocks cut short; where the picture
    had to be turned they come to lie first, and the formula is off by less than one decoded pixel.

    Raises UnreadableImageError where the data is damaged or ends early.
    """
    if header.fast_jpeg:
        pixels, scale = _decode_jpeg(data, header, long_side)
    else:
        with _parsing(_DAMAGED), _open(data) as image:
            pixels, scale = _to_rgb8(image), 1.0
    return _turn_upright(pixels, header.orientation), scale


def _decode_jpeg(data: bytes, header: ImageHeader, long_side: int | None) -> tuple[Image, float]:
    flags, divisor = int(cv2.IMREAD_COLOR_RGB), 1
    if long_side is not None:
        full = max(header.width, header.height)
        for candidate, reduced in _REDUCED:
            if -(-full // candidate) >= long_side:
                flags, divisor = reduced, candidate
                break
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise UnreadableImageError(_DAMAGED) from error
    # Stubs say otherwise, but damaged data gives None.
    if pixels is None or pixels.dtype != np.uint8 or pixels.ndim != 3:
        raise UnreadableImageError(_DAMAGED)
    if divisor > 1:
        # OpenCV has no reduced mode in RGB order.
        cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)
    return _as_image(pixels), 1.0 / divisor


def _to_rgb8(image: PillowImage.Image) -> Image:
    """Load the first frame and bring whatever mode it has to RGB, uint8."""
    image.load()
    if image.mode.startswith("I;16"):
        return _grey_to_rgb(np.asarray(image).astype(np.float32) * (255.0 / 65535.0))
    if image.mode in {"I", "F"}:
        values = np.nan_to_num(np.asarray(image, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        whites = (1.0, *_INTEGER_WHITE) if image.mode == "F" else _INTEGER_WHITE
        peak = float(values.max())
        white = next((white for white in whites if peak <= white), peak)
        return _grey_to_rgb(values * (255.0 / white))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        paper = PillowImage.new("RGB", rgba.size, (255, 255, 255))
        paper.paste(rgba, mask=rgba.getchannel("A"))
        return _as_image(np.asarray(paper))
    return _as_image(np.asarray(image.convert("RGB")))


def _grey_to_rgb(grey: NDArray[np.floating]) -> Image:
    rounded = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    return np.repeat(rounded[:, :, None], 3, axis=2)


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


def _orientation(image: PillowImage.Image) -> int:
    try:
        # The base class's method, because that of PNG decodes the picture in search of late chunks.
        value = PillowImage.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except Exception:
        # Broken EXIF is common and no reason to refuse a photo whose pixels are sound.
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _open(data: bytes) -> ImageFile.ImageFile:
    return PillowImage.open(BytesIO(data), formats=FORMATS)


def _as_image(pixels: NDArray[np.generic]) -> Image:
    return np.ascontiguousarray(pixels, dtype=np.uint8)


@contextmanager
def _parsing(message: str) -> Iterator[None]:
    """Turn whatever a parser raises into UnreadableImageError(message), and keep its warnings quiet."""
    try:
        with _quiet():
            yield
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
            # Attributed to the parser or, by its stack level, to this module.
            warnings.filterwarnings("ignore", module=rf"PIL\.|pillow_heif|{__name__.replace('.', '[.]')}")
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0 and _quiet_filters is not None:
                _quiet_filters.__exit__(None, None, None)
                _quiet_filters = None
