"""A net that takes square RGB images. It runs every role except InsightFace's detector."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.packs.manifest import Role
from deployments.packs.sessions import check_batch, open_session
from semblance.errors import PackError
from semblance.settings import Settings
from semblance.types import Image

MAX_BATCH = 32
"""Most images in one run: the nets gain nothing beyond it, and memory grows with it."""

CHECK_IMAGES = 3
"""Images of the batch check at start. A detector uses CHECK_CANVASES, because each costs as much as a
photo."""

CHECK_CANVASES = 2


class ImageNet:
    """uint8 RGB in, float32 out, normalised as the role says, run in batches.

    The constructor checks on random images that a batch gives the same results as single images. A graph
    whose input fixes the batch at 1 is run image by image. Raises PackError if the graph does not fit the
    role.
    """

    def __init__(
        self,
        folder: Path,
        role: Role,
        settings: Settings,
        check: int = CHECK_IMAGES,
        largest: int = MAX_BATCH,
    ) -> None:
        """check: number of images of the batch check. largest: most images in one run."""
        path = folder / role.file
        self._session = open_session(path, settings)
        graph_input, *others = self._session.get_inputs()
        batch, *sides = graph_input.shape
        expected = [3, role.input_size, role.input_size]
        if (
            others
            or len(sides) != 3
            or any(isinstance(side, int) and side != size for side, size in zip(sides, expected, strict=True))
        ):
            raise PackError(f"{path} takes {graph_input.shape}; its role needs one input of [N, {expected}].")
        known = {output.name for output in self._session.get_outputs()}
        if not known.issuperset(role.outputs):
            raise PackError(f"{path} has outputs {sorted(known)}; the manifest expects {list(role.outputs)}.")
        self._input = graph_input.name
        self._dtype = np.uint8 if graph_input.type == "tensor(uint8)" else np.float32
        self._outputs = list(role.outputs)
        self._normalisation = role.normalisation
        self._largest = 1 if batch == 1 else largest
        if batch != 1:
            images = np.random.default_rng(0).integers(0, 256, (check, *expected[1:], 3), np.uint8)
            check_batch(self._run, images, path)

    def run(self, images: Sequence[Image] | NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """uint8 RGB [N, S, S, 3], N >= 1, to the role's outputs, each with N rows."""
        parts = [
            self._run(images[start : start + self._largest]) for start in range(0, len(images), self._largest)
        ]
        return parts[0] if len(parts) == 1 else [np.concatenate(rows) for rows in zip(*parts, strict=True)]

    def _run(self, images: Sequence[Image] | NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        planes: NDArray[Any] = np.empty((len(images), 3, *images[0].shape[:2]), self._dtype)
        for image, target in zip(images, planes, strict=True):
            # Taken apart as bytes first, since NumPy converts neighbouring bytes twice as fast.
            for colour, plane in zip(cv2.split(image), target, strict=True):
                plane[...] = colour
        if self._normalisation != "in_graph":
            planes = (planes - np.float32(self._normalisation.mean)) / np.float32(self._normalisation.std)
        return self._session.run(self._outputs, {self._input: planes})
