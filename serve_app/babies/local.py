"""Baby pictures made on this machine, by `compose`; they need no key of a service."""

from __future__ import annotations

import asyncio
from typing import Final

import cv2
import numpy as np

from db.babies import ParentFace
from deployments.clients import FaceClient
from deployments.faces.decoder import Decoder
from deployments.vision.encode import encode_jpeg
from semblance.errors import BabyProviderError, ConflictError, ImageTooLargeError, UnreadableImageError
from semblance.storage.store import Storage
from semblance.types import Landmarks
from serve_app.babies.compose import Face, compose
from serve_app.babies.provider import GONE, NO_PICTURE, GeneratedPicture, read_photo

_DECODED_SIDE: Final = 1600
"""Long side in pixels to which photos are decoded: a face still fills the portrait."""


class LocalProvider:
    """Blends the two faces with OpenCV, in a thread, one picture at a time: each takes about half a second
    of a core, and the memory of two decoded photos."""

    name: Final = "local"
    model: Final = "opencv-blend-1"

    def __init__(self, storage: Storage, faces: FaceClient, decoder: Decoder) -> None:
        """
        Args:
            faces: finds the landmarks of faces that were stored without them.
            decoder: opens the photos.
        """
        self._storage = storage
        self._faces = faces
        self._decoder = decoder
        self._turn = asyncio.Semaphore(1)

    async def generate(self, a: ParentFace, b: ParentFace) -> GeneratedPicture:
        """As `BabyProvider` says; also raises what the face client raises."""
        async with self._turn:
            parents = [await self._look_up(parent) for parent in (a, b)]
            return GeneratedPicture(await asyncio.to_thread(self._compose, *parents))

    async def close(self) -> None:
        """Nothing to release."""

    async def _look_up(self, parent: ParentFace) -> tuple[bytes, Landmarks]:
        photo = await read_photo(self._storage, parent)
        if parent.landmarks_68 is not None:
            return photo, np.array(parent.landmarks_68, np.float32)
        try:
            detection = await self._faces.detect(photo, 1, counted=False)
        except (UnreadableImageError, ImageTooLargeError) as exc:
            raise ConflictError(GONE) from exc
        if not detection.faces:
            raise BabyProviderError(NO_PICTURE, "no face was found in the photo of a parent")
        return photo, detection.faces[0].landmarks

    def _compose(self, a: tuple[bytes, Landmarks], b: tuple[bytes, Landmarks]) -> bytes:
        try:
            return encode_jpeg(compose(self._face(*a), self._face(*b)))
        except (UnreadableImageError, ImageTooLargeError) as exc:
            raise ConflictError(GONE) from exc
        except (ValueError, IndexError, cv2.error, np.linalg.LinAlgError) as exc:
            # Landmarks that no face can have, which models sometimes give.
            reason = f"the faces cannot be composed: {type(exc).__name__}"
            raise BabyProviderError(NO_PICTURE, reason) from exc

    def _face(self, photo: bytes, landmarks: Landmarks) -> Face:
        with self._decoder.open(photo) as picture:
            image, scale = picture.whole(_DECODED_SIDE)
        return Face(image, ((landmarks + 0.5) * scale - 0.5).astype(np.float32))
