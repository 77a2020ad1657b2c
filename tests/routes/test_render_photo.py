"""`POST /render-photo`: any photo as a picture that a browser shows."""

from __future__ import annotations

import io

from PIL import Image

from tests.support.api import API_KEY, Api
from tests.support.photos import OBAMA, encoded

PATH = "/render-photo"
KEY = {"Authorization": f"Bearer {API_KEY}"}


async def test_a_heic_photo_becomes_a_bounded_upright_jpeg(api: Api) -> None:
    with Image.open(OBAMA) as opened:
        sideways = opened.convert("RGB").resize((600, 1500))
    tags = Image.Exif()
    tags[0x0112] = 6
    tags[0x010F] = "Maker"
    heic = encoded(sideways, "HEIF", exif=tags)
    answer = await api.client.post(PATH, headers=KEY, files={"file": ("a.heic", heic)})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg"), answer.text
    assert answer.headers["cache-control"] == "no-store"
    with Image.open(io.BytesIO(answer.content)) as picture:
        # Chromium draws no HEIF, and libheif turns it itself: what counts is that nothing else is left.
        assert (picture.format, max(picture.size)) == ("JPEG", 1080)
        assert not picture.getexif()


async def test_what_is_no_photo_is_refused_as_everywhere(api: Api) -> None:
    files = {"file": ("a.jpg", b"no picture")}
    assert (await api.client.post(PATH, headers=KEY, files=files)).json()["code"] == "unreadable_image"
    assert (await api.client.post(PATH, files=files)).status_code == 401
