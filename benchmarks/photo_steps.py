"""Where the time of a photo goes in one process: decoding, each net, and what is between them.

The steps are those of `deployments.faces`, on one thread, one photo after the other; what a service adds is
left to `benchmarks.photo_path`.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, TypeVar

import cv2
import numpy as np

from deployments.faces.analysis import FaceAnalyzer
from deployments.faces.decoder import Decoder, DirectDecoder
from deployments.faces.embedding import FaceEmbedder
from deployments.faces.finder import FaceFinder
from deployments.faces.memory import keep_memory
from deployments.packs.nets import DetectNet, LandmarkNet, ModelPack
from deployments.packs.registry import load_pack
from deployments.vision.decode import Photo
from semblance.settings import Settings

STEPS: Final = ("decode", "detect", "landmarks", "crops and the rest", "embed", "attributes")

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class PhotoSteps:
    """Milliseconds of CPU time for a photo by step, and the median time from bytes to the last result."""

    cpu_ms: dict[str, float]
    p50_ms: float


def measure_steps(photos: Sequence[bytes], count: int) -> PhotoSteps:
    """Analyze the largest face of `count` photos, taken from `photos` in turn, on one thread."""
    settings, watch = Settings(threads=1), _Watch()
    # Photos are decoded in this process, so it keeps memory as the one that decodes them for a service.
    keep_memory(settings.image_memory_bytes)
    cv2.setNumThreads(1)
    pack = load_pack(settings)
    finder = FaceFinder(_TimedPack(pack, watch), settings, _TimedDecoder(DirectDecoder(settings), watch))
    embedder, analyzer = FaceEmbedder(pack), FaceAnalyzer(pack)

    def analyze(photo: bytes) -> float:
        began = time.perf_counter()
        faces = watch.timed("find", finder.detect)(photo, 1, counted=False).faces
        watch.timed("embed", embedder.embed)([face.crops.aligned for face in faces])
        watch.timed("attributes", analyzer.analyze)(faces)
        return time.perf_counter() - began

    for photo in photos:
        analyze(photo)
    watch.seconds.clear()
    walls = [analyze(photos[index % len(photos)]) for index in range(count)]
    spent = {step: 1000 * seconds / count for step, seconds in watch.seconds.items()}
    spent["crops and the rest"] = spent.pop("find") - sum(
        spent[step] for step in ("decode", "detect", "landmarks")
    )
    return PhotoSteps({step: spent[step] for step in STEPS}, 1000 * float(np.median(walls)))


class _Watch:
    """Adds up the CPU time of this process by step."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def timed(self, step: str, work: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
        def measured(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
            began = time.process_time()
            try:
                return work(*args, **kwargs)
            finally:
                self.seconds[step] += time.process_time() - began

        return measured


class _Timed:
    """An object some of whose methods are measured."""

    def __init__(self, of: Any, watch: _Watch, step: str, *methods: str) -> None:
        self._of = of
        for name in methods:
            setattr(self, name, watch.timed(step, getattr(of, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of, name)


class _TimedDecoder:
    """A Decoder whose opening and decoding are measured."""

    def __init__(self, decoder: Decoder, watch: _Watch) -> None:
        self._decoder = decoder
        self._watch = watch

    @contextmanager
    def open(self, data: bytes) -> Iterator[Photo]:
        """See Decoder."""
        with self._watch.timed("decode", self._decoder.open)(data) as photo:
            yield _Timed(photo, self._watch, "decode", "whole", "part")


class _TimedPack(_Timed):
    """A pack whose detector and landmarks are measured."""

    def __init__(self, pack: ModelPack, watch: _Watch) -> None:
        super().__init__(pack, watch, "none")
        self._watch = watch

    def detector(self) -> DetectNet:
        """See ModelPack."""
        return _Timed(self._of.detector(), self._watch, "detect", "detect")

    def landmarks(self) -> LandmarkNet:
        """See ModelPack."""
        return _Timed(self._of.landmarks(), self._watch, "landmarks", "locate")
