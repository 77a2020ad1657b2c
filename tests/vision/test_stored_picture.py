"""Only the pixels of a picture file are stored, upright and in sRGB."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from deployments.vision.decode import OpenPhoto, read_header
from deployments.vision.stored_picture import FEED_SIDE, FULL_SIDE, THUMBNAIL_SIDE, render
from semblance.errors import UnreadableImageError
from semblance.logging import configure_logging
from semblance.settings import Settings
from semblance.storage.pictures import StoredPicture
from tests.support.laden import (
    LADEN,
    SECRET,
    assert_only_a_picture,
    cmyk_profile,
    display_p3,
    grey_profile,
    group,
    laden,
    portrait,
    srgb_by_gamma,
)
from tests.support.photos import encoded


def stored(data: bytes) -> StoredPicture:
    return render(OpenPhoto(data, read_header(data, max_bytes=10**8, max_pixels=10**8)))


def files(picture: StoredPicture) -> tuple[bytes, bytes, bytes]:
    return picture.full, picture.feed, picture.thumbnail


def pixels(jpeg: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(jpeg)), np.int16)


def flat(colour: tuple[int, ...], mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (64, 64), colour)


@pytest.mark.parametrize("file_format", LADEN)
def test_nothing_but_the_picture_is_left(file_format: str) -> None:
    data = laden(group(), file_format)
    assert SECRET in data
    picture = stored(data)
    for file in files(picture):
        assert_only_a_picture(file)
    original = np.asarray(group(), np.int16)
    assert np.abs(pixels(picture.full) - original).mean() < 4


def test_nothing_is_logged_of_a_good_picture(capfd: pytest.CaptureFixture[str]) -> None:
    data = encoded(portrait(3000))
    configure_logging(Settings(log_level="DEBUG"))
    stored(data)
    assert capfd.readouterr().err == ""


def test_the_same_file_gives_the_same_bytes() -> None:
    data = laden(portrait(), "JPEG")
    assert stored(data) == stored(data)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_it_is_upright_with_and_without_exif(file_format: str, orientation: int) -> None:
    source = group().resize((300, 200))
    data = laden(source, file_format, orientation=orientation)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    found = assert_only_a_picture(stored(data).full)
    assert found.size == upright.size
    assert np.abs(np.asarray(found, np.int16) - np.asarray(upright.convert("RGB"), np.int16)).mean() < 4


@pytest.mark.parametrize(
    ("size", "full"),
    [
        ((4000, 3000), (2048, 1536)),
        ((8064, 6048), (2048, 1536)),
        ((3024, 4032), (1536, 2048)),
        ((1000, 60), (1000, 60)),
        ((9000, 460), (2048, 105)),
        ((7, 5), (7, 5)),
    ],
)
def test_sizes_are_bounded_and_keep_their_shape(size: tuple[int, int], full: tuple[int, int]) -> None:
    picture = stored(encoded(Image.linear_gradient("L").resize(size), quality=30))
    assert assert_only_a_picture_size(picture.full) == full
    assert max(full) <= FULL_SIDE
    for file, side in ((picture.feed, FEED_SIDE), (picture.thumbnail, THUMBNAIL_SIDE)):
        width, height = assert_only_a_picture_size(file)
        assert max(width, height) == min(side, max(full))
        assert min(width, height) == max(1, round(min(full) * max(width, height) / max(full)))
    assert picture.scale == pytest.approx(max(full) / max(size))


def assert_only_a_picture_size(jpeg: bytes) -> tuple[int, int]:
    return assert_only_a_picture(jpeg).size


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_colours_are_converted_by_the_profile(file_format: str) -> None:
    """Red of Display P3 is outside sRGB. A muted red is inside it, and stronger than its numbers say."""
    data = encoded(flat((180, 90, 90)), file_format, icc_profile=display_p3())
    red, green, blue = pixels(stored(data).full)[32, 32]
    assert red == pytest.approx(193, abs=4)
    assert green == pytest.approx(86, abs=4)
    assert blue == pytest.approx(87, abs=4)


def test_a_profile_that_differs_in_dark_colours_alone_is_applied() -> None:
    data = encoded(flat((10, 10, 10)), "PNG", icc_profile=srgb_by_gamma())
    # (10 / 255) ** 2.2 of the light is 2.6 on the straight part of sRGB's curve.
    assert np.abs(pixels(stored(data).full)[32, 32] - 3).max() <= 1


def test_the_profile_of_srgb_changes_nothing() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = portrait()
    assert stored(encoded(picture, "PNG", icc_profile=srgb)) == stored(encoded(picture, "PNG"))


def test_greys_are_converted_by_their_profile() -> None:
    data = encoded(flat((128,), "L"), icc_profile=grey_profile(1.0))
    # Half of the light is 188 in sRGB.
    assert np.abs(pixels(stored(data).full)[32, 32] - 188).max() <= 2


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
def test_inks_are_converted_by_their_profile(file_format: str) -> None:
    data = encoded(flat((255, 0, 0, 0), "CMYK"), file_format, icc_profile=cmyk_profile())
    colour = pixels(stored(data).full)[32, 32]
    assert np.abs(colour - colour.mean()).max() <= 3
    plain = pixels(stored(encoded(flat((255, 0, 0, 0), "CMYK"), file_format)).full)[32, 32]
    assert plain[0] < 40


@pytest.mark.parametrize(
    "icc", [b"", b"no profile", display_p3()[:200], grey_profile(2.2), cmyk_profile(), bytes(5000)]
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_profile_that_does_not_fit_changes_little(mode: str, icc: bytes) -> None:
    picture = encoded(portrait(64).convert(mode), icc_profile=icc)
    assert assert_only_a_picture(stored(picture).full).size == (64, 64)


def test_transparency_lies_on_white() -> None:
    for file_format in ("PNG", "WEBP"):
        data = encoded(flat((255, 0, 0, 0), "RGBA"), file_format)
        assert np.abs(pixels(stored(data).full) - 255).max() <= 1


def test_damage_is_reported_as_an_unreadable_picture() -> None:
    data = encoded(portrait(), "PNG")
    with pytest.raises(UnreadableImageError):
        stored(data[: len(data) // 2])
