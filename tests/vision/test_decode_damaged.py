"""Files that are no pictures, damaged, cut, or odd."""

from __future__ import annotations

import pickle
import re
import struct
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from deployments.vision.decode import OpenPhoto, decode
from semblance.errors import ImageTooLargeError, SemblanceError, UnreadableImageError
from tests.support.decoding import (
    FORMATS,
    NOISE,
    RGB,
    corners,
    exif,
    header_of,
    pixels_of,
    png,
)
from tests.support.laden import cmyk_profile
from tests.support.photos import encoded

REFUSED: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "one byte": lambda: b"\xff",
    "text": lambda: b"Hello, this is not a picture at all.",
    "HTML": lambda: b"<!doctype html><html><body>404</body></html>",
    "SVG": lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "ICO": lambda: encoded(RGB, "ICO"),
    "PPM": lambda: encoded(RGB, "PPM"),
    "JPEG 2000": lambda: encoded(RGB, "JPEG2000"),
    "PSD": lambda: b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 8, 8, 8, 3) + bytes(64),
    "EPS": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n",
    "PDF": lambda: b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
    "ZIP": lambda: b"PK\3\4" + bytes(60),
    "a JPEG behind a script": lambda: b"#!/bin/sh\necho hi\n" + encoded(RGB, "JPEG"),
    "a JPEG's first bytes": lambda: b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    "zeros": lambda: bytes(100_000),
    "PNG of no width": lambda: png(0, 8),
    "HEIC brand without content": lambda: b"\0\0\0\x18ftypheic" + bytes(64),
    "AVIF brand without content": lambda: b"\0\0\0\x18ftypavif" + bytes(64),
    "video": lambda: b"\0\0\0\x18ftypisom\0\0\0\1isommp42" + bytes(64),
    "TIFF whose directory lies outside": lambda: b"II*\0\xff\xff\xff\x7f" + bytes(32),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_files_are_refused_at_the_header(name: str) -> None:
    with pytest.raises(
        UnreadableImageError, match=r"Send a JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC file\."
    ) as caught:
        header_of(REFUSED[name]())
    assert str(pickle.loads(pickle.dumps(caught.value))) == caught.value.message  # noqa: S301


def test_a_picture_with_something_else_behind_it_is_a_picture() -> None:
    """Trailing bytes are harmless: they are never interpreted."""
    for file_format in ("JPEG", "PNG", "BMP"):
        data = encoded(RGB, file_format, quality=95) + b"PK\3\4<script>alert(1)</script>" * 50
        assert np.abs(pixels_of(data).astype(int) - corners())[4:16, 4:24].max() <= 12


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_ends_early_is_refused(name: str, share: float) -> None:
    file_format, options, _ = FORMATS[name]
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    data = encoded(PillowImage.fromarray(noise), file_format, **options)
    cut = data[: int(len(data) * share)]
    for long_side in (None, 30):
        with pytest.raises(UnreadableImageError) as caught:
            decode(cut, header_of(cut), long_side=long_side)
        assert caught.value.message.endswith(".")


@settings(max_examples=150)
@given(st.sampled_from(sorted(FORMATS)), st.data())
def test_damage_gives_a_picture_or_a_clear_error(name: str, data: st.DataObject) -> None:
    """Bytes overwritten, removed or inserted anywhere: pixels of the promised size or one of our errors."""
    file_format, options, _ = FORMATS[name]
    file = bytearray(encoded(RGB, file_format, **options))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(file) - 1))
        file[place : place + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=6))
    try:
        header = header_of(bytes(file))
        image, _ = decode(bytes(file), header)
    except SemblanceError as error:
        assert isinstance(error, UnreadableImageError | ImageTooLargeError)
    else:
        assert image.shape == (header.height, header.width, 3)


@settings(max_examples=100)
@given(
    st.sampled_from(
        [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBP", b"BM", b"II*\0", b"MM\0*"]
    ),
    st.binary(max_size=300),
)
def test_garbage_behind_a_signature_is_refused(signature: bytes, body: bytes) -> None:
    data = signature + body
    with pytest.raises((UnreadableImageError, ImageTooLargeError)):
        decode(data, header_of(data))


def test_overlapping_reads_leave_the_warning_filters_as_they_were() -> None:
    """Threads read files that make the parser warn; `error` filters would make it raise."""
    exif_data = exif(1).tobytes()
    odd = encoded(RGB, "JPEG", exif=exif_data[:-8])
    before = list(warnings.filters)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(30):
                decode(odd, header_of(odd))
                header_of(png(1_000, 1_000))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert warnings.filters == before


JPEGS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_blocks": 16},
    "not subsampled": {"subsampling": 0},
}


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("long_side", [None, 80, 30])
def test_a_jpeg_cut_and_closed_with_an_end_mark_is_refused(name: str, long_side: int | None) -> None:
    data = encoded(NOISE, "JPEG", quality=90, **JPEGS[name])
    for kept in (len(data) // 3, len(data) // 2, len(data) - 200, len(data) - 12):
        cut = data[:kept] + b"\xff\xd9"
        with pytest.raises(UnreadableImageError, match="damaged or incomplete"):
            decode(cut, header_of(cut), long_side=long_side)


@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_without_its_end_mark_is_whole(name: str) -> None:
    data = encoded(NOISE, "JPEG", quality=90, **JPEGS[name])
    np.testing.assert_array_equal(pixels_of(data[:-2]), pixels_of(data))
    np.testing.assert_array_equal(pixels_of(data[:-1]), pixels_of(data))


def test_a_progressive_jpeg_of_its_first_scans_is_refused() -> None:
    """It could be shown coarsely, because every scan covers the whole picture."""
    data = encoded(NOISE, "JPEG", quality=90, progressive=True)
    scans = [place for place in range(len(data)) if data[place : place + 2] == b"\xff\xda"]
    assert len(scans) > 3
    for scan in scans[1:]:
        tables = data.rindex(b"\xff\xc4", 0, scan)
        for cut in (data[:tables], data[:tables] + b"\xff\xd9", data[:scan]):
            with pytest.raises(UnreadableImageError, match="damaged or incomplete"):
                pixels_of(cut)


def test_a_jpeg_of_its_first_component_is_refused() -> None:
    """Sequential with one scan per component, so it would be shown without colour."""
    plain = encoded(NOISE.convert("L"), "JPEG", quality=90)
    frame, scan = plain.index(b"\xff\xc0"), plain.index(b"\xff\xda")
    three = bytes([1, 17, 0, 2, 17, 0, 3, 17, 0])
    head = plain[:frame] + b"\xff\xc0\0\x11" + plain[frame + 4 : frame + 9] + b"\3" + three
    head += plain[frame + 13 : scan]
    scans = [b"\xff\xda\0\x08\1" + bytes([i, 0, 0, 63, 0]) + plain[scan + 10 : -2] for i in (1, 2, 3)]
    assert pixels_of(head + b"".join(scans) + b"\xff\xd9").shape == (240, 320, 3)
    for some in (scans[:1], scans[:2]):
        with pytest.raises(UnreadableImageError, match="damaged or incomplete"):
            pixels_of(head + b"".join(some) + b"\xff\xd9")


def test_a_png_without_its_end_chunk_is_whole() -> None:
    np.testing.assert_array_equal(pixels_of(encoded(RGB, "PNG")[:-12]), corners())


def test_odd_but_whole_jpegs_are_taken() -> None:
    """Bytes between the pixels and the end mark, as some cameras leave them: libjpeg warns."""
    data = encoded(NOISE, "JPEG", quality=90)
    odd = data[:-2] + bytes(20) + data[-2:]
    np.testing.assert_array_equal(pixels_of(odd), pixels_of(data))


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_cut_anywhere_is_refused_or_whole(name: str) -> None:
    """Some bytes after the last pixel may be missing, such as checksums and end marks."""
    file_format, options, _ = FORMATS[name]
    data = encoded(RGB, file_format, **options)
    whole, taken = pixels_of(data), []
    for length in range(0, len(data), max(1, len(data) // 40)):
        try:
            image = pixels_of(data[:length])
        except UnreadableImageError:
            continue
        np.testing.assert_array_equal(image, whole)
        taken.append(length)
    assert all(length > len(data) * 0.7 for length in taken)


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("transform", [0, 2])
@pytest.mark.parametrize("profile", [False, True])
def test_a_jpeg_of_four_inks_cut_and_closed_with_an_end_mark_is_refused(
    name: str, transform: int, profile: bool
) -> None:
    """CMYK and YCCK, which Adobe's marker tells apart, for the detector and for display."""
    ink = {"icc_profile": cmyk_profile()} if profile else {}
    data = encoded(NOISE.convert("CMYK"), "JPEG", quality=90, **JPEGS[name], **ink)
    adobe = data.index(b"Adobe") + 11
    data = data[:adobe] + bytes([transform]) + data[adobe + 1 :]
    assert pixels_of(data).shape == (240, 320, 3)
    for kept in (len(data) // 3, len(data) // 2, len(data) - 200, len(data) - 12):
        cut = data[:kept] + b"\xff\xd9"
        with pytest.raises(UnreadableImageError, match="damaged or incomplete"):
            pixels_of(cut)
        with pytest.raises(UnreadableImageError, match="damaged or incomplete"):
            OpenPhoto(cut, header_of(cut)).displayed(100)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("end", [b"\xff\xd9", None])
def test_a_jpeg_cut_between_restart_markers_is_refused(mode: str, end: bytes | None) -> None:
    """Everything before the cut is sound. After it the file ends or continues with a later part."""
    data = encoded(NOISE.convert(mode), "JPEG", quality=90, restart_marker_blocks=4)
    marks = [match.start() for match in re.finditer(rb"\xff[\xd0-\xd7]", data)]
    for mark in (marks[0], marks[len(marks) // 2], marks[-5]):
        later = next(m for m in marks if m > mark and data[m + 1] == 0xD0 + (data[mark + 1] - 0xD0 + 4) % 8)
        cut = data[:mark] + (end or data[later:])
        with pytest.raises(UnreadableImageError, match="damaged or incomplete"):
            pixels_of(cut)
