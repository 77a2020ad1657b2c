"""The picture composed of real faces by the provider that decodes and aligns them."""

from __future__ import annotations

import asyncio
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from db.babies import ParentFace
from deployments.faces.decoder import Decoder, LazyDecoder
from deployments.faces.pipeline import LocalPipeline
from semblance.errors import BabyProviderError, ConflictError
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.storage.store import Storage
from serve_app.babies.compose import SIZE
from serve_app.babies.local import LocalProvider
from tests.support.api import LocalFaces
from tests.support.photos import ASTRONAUT, NO_FACE, encoded
from tests.support.photos import OBAMA_2 as OBAMA


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return open_storage(settings)


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return LazyDecoder(Settings())


@pytest.fixture
def provider(storage: Storage, decoder: Decoder, pipeline: LocalPipeline) -> LocalProvider:
    return LocalProvider(storage, LocalFaces(pipeline), decoder)


async def stored(storage: Storage, key: str, photo: bytes, landmarks: list[list[float]] | None) -> ParentFace:
    await storage.put(key, photo, "image/jpeg")
    return ParentFace(key, landmarks)


async def parent(storage: Storage, pipeline: LocalPipeline, path: Path) -> ParentFace:
    """As the row of an uploaded face holds it."""
    photo = await asyncio.to_thread(path.read_bytes)
    landmarks = pipeline.finder.detect(photo, 1).faces[0].landmarks
    return await stored(storage, f"faces/{path.name}", photo, landmarks.round(2).tolist())


async def test_a_portrait_with_one_face_that_resembles_both(
    provider: LocalProvider, storage: Storage, pipeline: LocalPipeline
) -> None:
    a = await parent(storage, pipeline, OBAMA)
    b = await parent(storage, pipeline, ASTRONAUT)
    made = await provider.generate(a, b)
    with Image.open(BytesIO(made.data), formats=["JPEG"]) as image:
        assert image.size == (SIZE, SIZE)
    detection, (face,) = pipeline.analyze_photo(made.data)
    assert face.detected.confidence > 0.5
    box = face.detected.bbox
    assert box.width > SIZE / 4
    assert abs((box.x1 + box.x2) / 2 - SIZE / 2) < SIZE / 10
    # Nearer to each parent than the parents are to each other.
    parents = [pipeline.analyze_photo(path.read_bytes(), 1)[1][0].embedding for path in (OBAMA, ASTRONAUT)]
    assert min(float(face.embedding @ own) for own in parents) > float(parents[0] @ parents[1])
    assert detection.found == 1


async def test_the_same_two_give_the_same_picture(
    provider: LocalProvider, storage: Storage, pipeline: LocalPipeline
) -> None:
    a = await parent(storage, pipeline, OBAMA)
    b = await parent(storage, pipeline, ASTRONAUT)
    first, again, swapped = await asyncio.gather(
        provider.generate(a, b), provider.generate(a, b), provider.generate(b, a)
    )
    assert first.data == again.data == swapped.data


async def test_landmarks_that_were_never_stored_are_found(
    provider: LocalProvider, storage: Storage, pipeline: LocalPipeline
) -> None:
    a = await parent(storage, pipeline, OBAMA)
    b = await parent(storage, pipeline, ASTRONAUT)
    with_landmarks = await provider.generate(a, b)
    without = await provider.generate(ParentFace(a.image_path, None), b)
    pixels = [np.asarray(Image.open(BytesIO(made.data)), float) for made in (with_landmarks, without)]
    # Stored ones are rounded.
    assert np.abs(pixels[0] - pixels[1]).mean() < 1


async def test_the_photo_is_turned_upright(
    provider: LocalProvider, storage: Storage, pipeline: LocalPipeline
) -> None:
    """Landmarks refer to the upright picture, in whichever order the file stores its pixels."""
    upright = await parent(storage, pipeline, ASTRONAUT)
    with Image.open(ASTRONAUT) as image:
        exif = Image.Exif()
        exif[0x0112] = 6
        turned = encoded(image.convert("RGB").transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    sideways = await stored(storage, "faces/turned.png", turned, upright.landmarks_68)
    pixels = [
        np.asarray(Image.open(BytesIO((await provider.generate(face, face)).data)), float)
        for face in (upright, sideways)
    ]
    assert np.abs(pixels[0] - pixels[1]).mean() < 2


async def test_a_photo_without_a_face_is_refused(
    provider: LocalProvider, storage: Storage, pipeline: LocalPipeline
) -> None:
    a = await parent(storage, pipeline, OBAMA)
    nobody = await stored(storage, "faces/nobody.png", NO_FACE.read_bytes(), None)
    with pytest.raises(BabyProviderError) as caught:
        await provider.generate(a, nobody)
    assert caught.value.reason == "no face was found in the photo of a parent"


@pytest.mark.parametrize(
    "landmarks",
    [[[7.0, 7.0]] * 68, [[float("nan"), 1.0]] * 68],
    ids=["one point", "no numbers"],
)
async def test_impossible_landmarks_are_refused(
    provider: LocalProvider, storage: Storage, landmarks: list[list[float]]
) -> None:
    face = await stored(storage, "faces/odd.jpg", OBAMA.read_bytes(), landmarks)
    with pytest.raises(BabyProviderError, match="No baby picture"):
        await provider.generate(face, face)


@pytest.mark.parametrize("key", ["faces/gone.jpg", "https://old.example/a.jpg", "faces/broken.jpg"])
async def test_an_unusable_photo_is_refused(
    provider: LocalProvider, storage: Storage, pipeline: LocalPipeline, key: str
) -> None:
    await storage.put("faces/broken.jpg", b"not a picture", "image/jpeg")
    a = await parent(storage, pipeline, OBAMA)
    for landmarks in (None, a.landmarks_68):
        with pytest.raises(ConflictError, match="cannot be used"):
            await provider.generate(a, ParentFace(key, landmarks))


async def test_photos_are_decoded_within_the_bounds_of_one_picture(
    storage: Storage, settings: Settings, pipeline: LocalPipeline
) -> None:
    a = await parent(storage, pipeline, OBAMA)
    bounded = LazyDecoder(settings.model_copy(update={"image_deadline_s": 0.0}))
    with pytest.raises(ConflictError, match="cannot be used"):
        await LocalProvider(storage, LocalFaces(pipeline), bounded).generate(a, a)
