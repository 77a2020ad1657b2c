"""Photos through the client and the deployments, which Serve runs in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Self, cast

import numpy as np
import pytest
from ray import serve

from deployments.analyzer import Analyzer
from deployments.clients import JOINED_PHOTOS, FaceClient
from deployments.detector import Detector
from deployments.embedder import Embedder
from deployments.faces.pipeline import LocalPipeline
from deployments.photos import PhotoToSearch
from semblance.errors import UnreadableImageError
from semblance.settings import get_settings
from tests.support.photos import BIDEN, GROUP, GROUP_FACES, MASKS, NO_FACE, OBAMA, OBAMA_2


class CountedHandle:
    """A handle that notes how many items each call has, and which photos come alone."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self.calls: list[int] = []
        self.alone: list[bool] = []

    def options(self, **options: str) -> Self:
        self._handle = self._handle.options(**options)
        return self

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._handle, name)

        def remote(items: Sequence[object]) -> Any:
            self.calls.append(len(items))
            self.alone += [item.is_alone for item in items if isinstance(item, PhotoToSearch)]
            return method.remote(items)

        return SimpleNamespace(remote=remote)


@pytest.fixture(scope="module")
def running() -> list[Any]:
    """The handles of detector, embedder and analyzer."""
    deployments = {
        name: serve.deployment(max_ongoing_requests=100)(cls).bind()
        for name, cls in {"Detector": Detector, "Embedder": Embedder, "Analyzer": Analyzer}.items()
    }
    return [
        serve.run(deployment, name=name, _local_testing_mode=True) for name, deployment in deployments.items()
    ]


@pytest.fixture
def handles(running: list[Any]) -> list[CountedHandle]:
    """The same, which begin to count with each test."""
    return [CountedHandle(handle) for handle in running]


async def test_photos_at_once_share_calls_and_get_the_same_as_alone(handles: list[CountedHandle]) -> None:
    client = FaceClient(*cast(list[Any], handles))
    photos = [path.read_bytes() for path in (OBAMA, OBAMA_2, BIDEN, GROUP, MASKS[0])] * 5
    photos.insert(20, b"no photo")
    results = await asyncio.gather(
        *(client.analyze_photo(each, 1) for each in photos), return_exceptions=True
    )
    assert isinstance(results.pop(20), UnreadableImageError)
    pipeline = LocalPipeline(get_settings())
    alone = [pipeline.analyze_photo(each, 1) for each in photos[:5]]
    for result, (expected, expected_faces) in zip(results, alone * 5, strict=True):
        assert not isinstance(result, BaseException)
        detection, faces = result
        assert detection.found == expected.found
        assert [face.detected.bbox for face in faces] == [face.detected.bbox for face in expected_faces]
        for face, other in zip(faces, expected_faces, strict=True):
            np.testing.assert_allclose(face.embedding, other.embedding, atol=1e-4)
            assert face.attributes.age == pytest.approx(other.attributes.age, abs=0.1)
            assert face.attributes.gender == other.attributes.gender
    detector, *others = handles
    assert sum(detector.calls) == len(photos)
    assert max(detector.calls) == JOINED_PHOTOS
    for nets in others:
        assert len(nets.calls) < sum(nets.calls)


async def test_a_photo_with_all_its_faces_goes_alone(handles: list[CountedHandle]) -> None:
    client = FaceClient(*cast(list[Any], handles))
    group, none = await asyncio.gather(
        client.analyze_photo(GROUP.read_bytes()), client.analyze_photo(NO_FACE.read_bytes())
    )
    assert len(group[1]) == len(GROUP_FACES)
    assert none[1] == []
    assert handles[0].calls == [1, 1]


async def test_a_photo_that_comes_alone_gets_the_same(handles: list[CountedHandle]) -> None:
    client = FaceClient(*cast(list[Any], handles))
    photos = [path.read_bytes() for path in (OBAMA, GROUP)]
    alone = [await client.analyze_photo(each) for each in photos]
    await asyncio.gather(client.detect(b"no photo"), client.detect(b"nor this"), return_exceptions=True)
    assert handles[0].alone == [True, True, True, False]
    pipeline = LocalPipeline(get_settings())
    for (detection, _), photo in zip(alone, photos, strict=True):
        expected, _ = pipeline.analyze_photo(photo)
        for face, other in zip(detection.faces, expected.faces, strict=True):
            assert (face.bbox, face.confidence) == (other.bbox, other.confidence)
            np.testing.assert_array_equal(face.landmarks, other.landmarks)
