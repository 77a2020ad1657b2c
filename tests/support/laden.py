"""Picture files with all that a file can hold besides its pixels, and checks of what is left."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image, PngImagePlugin

from tests.support.photos import ASTRONAUT, GROUP, encoded

SECRET = b"52 Festive Road"
"""A text in each part of a laden file other than its pixels."""

LADEN = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "AVIF", "HEIF")
"""Formats of `laden`."""


def portrait(side: int = 512) -> Image.Image:
    """A face that every pack finds, side x side."""
    with Image.open(ASTRONAUT) as photo:
        return photo.crop((96, 0, 352, 256)).resize((side, side))


def group() -> Image.Image:
    """Six faces, 1280 x 886."""
    with Image.open(GROUP) as photo:
        return photo.convert("RGB")


def laden(image: Image.Image, file_format: str, *, orientation: int = 1) -> bytes:
    """The image with position, camera, thumbnail, comments, XMP and IPTC if the format has them, and trailing
    bytes. An MPO also has a second picture, as phones store depth."""
    exif = _exif(image, orientation)
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + SECRET + b"</x:xmpmeta>"
    rgb = image.convert("RGB")
    if file_format == "MPO":
        depth = Image.new("RGB", image.size, (1, 2, 3))
        return encoded(rgb, "MPO", save_all=True, append_images=[depth], exif=exif) + SECRET
    if file_format == "JPEG":
        file = encoded(rgb, exif=exif, comment=SECRET, xmp=xmp, quality=95)
        iptc = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00" + struct.pack(">I", len(SECRET) + 5)
        iptc += b"\x1c\x02\x78" + struct.pack(">H", len(SECRET)) + SECRET
        return file[:2] + b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc + file[2:] + SECRET
    if file_format == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", SECRET.decode())
        return encoded(rgb, "PNG", exif=exif, pnginfo=text) + SECRET
    if file_format == "TIFF":
        return encoded(rgb, "TIFF", exif=exif, description=SECRET.decode()) + SECRET
    return encoded(rgb, file_format, exif=exif, **({} if file_format == "HEIF" else {"xmp": xmp}))


def _exif(image: Image.Image, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x010E] = exif[0x010F] = SECRET.decode()
    exif[0x0112] = orientation
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 2.0, 3.0), 3: "E", 4: (1.0, 2.0, 3.0), 27: SECRET})
    return exif.tobytes()


def segments(jpeg: bytes) -> Iterator[int]:
    """The markers of a JPEG file up to its end; fails if anything follows."""
    assert jpeg[:2] == b"\xff\xd8"
    place = 2
    while (marker := jpeg[place + 1]) != 0xDA:
        assert jpeg[place] == 0xFF
        yield marker
        place += 2 + int(struct.unpack_from(">H", jpeg, place + 2)[0])
    assert jpeg.index(b"\xff\xd9", place) == len(jpeg) - 2


PICTURE_SEGMENTS = {0xE0, 0xDB, 0xC0, 0xC4}
"""JFIF header, quantization, frame, Huffman: the necessary segments of a JPEG."""


def assert_only_a_picture(jpeg: bytes) -> Image.Image:
    """The picture of a file that is a JPEG of one frame and nothing else."""
    assert set(segments(jpeg)) <= PICTURE_SEGMENTS
    assert SECRET not in jpeg
    image = Image.open(io.BytesIO(jpeg), formats=["JPEG"])
    image.load()
    assert image.mode == "RGB"
    assert not image.getexif()
    assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    return image


def display_p3() -> bytes:
    """The colour profile of phone photos: Display P3 with a gamma of 2.2."""
    # SMPTE EG 432-1's primaries, adapted to D50 (Bradford).
    red, green, blue = (0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)
    return _rgb_profile(red, green, blue)


def srgb_by_gamma() -> bytes:
    """A profile that differs from sRGB in dark colours alone: its primaries with a gamma of 2.2."""
    # IEC 61966-2-1's primaries, adapted to D50 (Bradford).
    red, green, blue = (0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)
    return _rgb_profile(red, green, blue)


def _rgb_profile(
    red: tuple[float, float, float], green: tuple[float, float, float], blue: tuple[float, float, float]
) -> bytes:
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(2.2 * 256)) + bytes(2)
    white = _xyz((0.9642, 1.0, 0.8249))
    return _profile(
        b"mntr",
        b"RGB ",
        b"XYZ ",
        {b"rXYZ": _xyz(red), b"gXYZ": _xyz(green), b"bXYZ": _xyz(blue), b"wtpt": white}
        | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    )


def grey_profile(gamma: float) -> bytes:
    """A profile of grey pixels."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": _xyz((0.9642, 1.0, 0.8249)), b"kTRC": curve})


def cmyk_profile() -> bytes:
    """A profile of an unusual ink: every value prints as mid grey."""
    identity = bytes(range(256))
    grid = bytes((128, 128, 128)) * 16
    identity_matrix = struct.pack(">9i", *(0x10000 * value for value in np.eye(3, dtype=int).ravel()))
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + identity_matrix + identity * 4 + grid + identity * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table, b"wtpt": _xyz((0.9642, 1.0, 0.8249))})


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """ICC.1:2001-04 with a description."""
    text = b"test\0"
    description = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78)
    tags = {b"desc": description, b"cprt": b"text" + bytes(4) + text, **tags}
    place = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += name + struct.pack(">II", place + len(body), len(content))
        body += padded
    head = struct.pack(">I4sI", place + len(body), b"lcms", 0x02400000) + kind + space + connection
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(24)
    head += struct.pack(">I", 0) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + body
