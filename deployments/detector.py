"""Photo in, faces out: decode once, stand the image upright, find faces, cut the crops others need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.packs.nets import AttributeCrop, Candidates, DetectNet, LandmarkNet, ModelPack
from deployments.packs.registry import load_pack
from deployments.vision.align import (
    five_points,
    landmark_box,
    rotate_image,
    rotate_points_back,
    similarity_transform,
    square_crop,
    transform_points,
    warp,
    warp_scale,
)
from deployments.vision.decode import ImageHeader, decode, read_header
from deployments.vision.nms import nms
from semblance.settings import Settings, get_settings
from semblance.types import Box, DetectedFace, Detection, FaceCrops, Image, Landmarks, ModelInfo, Pose

PORTRAIT_SIZE = 112
"""Side of the portrait crop in pixels: the input of the open pack's age and expression nets."""

SMALL_FACE = 40 / 512
"""A face narrower than this share of the detector's canvas is near the limit of what it finds (the
open detector loses faces of 10-20 px on its 512 px canvas), so the photo is searched again in tiles."""

TILE_OVERLAP = 0.25
"""Share of a tile's side that it shares with its neighbour: a face on a seam is whole in one tile."""

FALLBACK_CONFIDENCE = 0.8
"""Score a face must reach when it was found only after turning or padding the photo: each further
attempt is a further chance for a false alarm."""

FALLBACK_PADDING = 0.3
"""Border, as a share of the long side, put around a photo in which nothing was found: a tight crop of
a bare face scores .09 in the open detector, with 30 % of padding .98."""


@dataclass(frozen=True, slots=True)
class _Found:
    """Faces and landmarks in the pixels of `image`, which is the decoded photo after `turns` quarter
    turns counter-clockwise."""

    image: Image
    turns: int
    candidates: Candidates
    landmarks: NDArray[np.float32]
    poses: list[Pose] | None


class FaceFinder:
    """Finds and cuts faces; synchronous, one photo at a time, usable without Ray."""

    def __init__(self, pack: ModelPack, settings: Settings) -> None:
        self._settings = settings
        self._pack = pack
        self._net: DetectNet = pack.detector()
        self._landmarks: LandmarkNet = pack.landmarks()

    def detect(self, data: bytes, max_faces: int | None = None) -> Detection:
        """All faces of an encoded picture, largest first, at most `max_faces`.

        Raises ImageTooLargeError, UnreadableImageError. A picture without faces is a Detection
        without faces, not an error.
        """
        header = read_header(
            data, max_bytes=self._settings.max_image_bytes, max_pixels=self._settings.max_image_pixels
        )
        image, scale = decode(data, header, long_side=self._net.input_size)
        found = self._find(image)
        if found is None and scale < 1:
            image, scale = decode(data, header)
            found = self._find(image)
        if found is None:
            return Detection(header.width, header.height, ())
        limit = min(max_faces or self._settings.max_faces, self._settings.max_faces)
        found = _largest(found, limit)
        found, scale = self._sharpen(found, scale, data, header)
        return Detection(header.width, header.height, tuple(self._faces(found, scale)))

    def _find(self, image: Image) -> _Found | None:
        """Faces of the photo as it stands; else padded; else turned."""
        candidates = self._net.detect([image])[0]
        if _needs_tiles(candidates, image, self._net.input_size):
            candidates = _merge(candidates, self._search_tiles(image))
        if len(candidates.boxes):
            return self._locate(image, 0, candidates)
        margin = round(FALLBACK_PADDING * max(image.shape[:2]))
        padded = cv2.copyMakeBorder(image, *(margin,) * 4, borderType=cv2.BORDER_CONSTANT)
        turned = [rotate_image(padded, turns) for turns in range(4)]
        attempts = self._net.detect(turned)
        best = max(range(4), key=lambda turns: _confidence(attempts[turns]))
        if _confidence(attempts[best]) < FALLBACK_CONFIDENCE:
            return None
        height, width = image.shape[:2]
        size = (height, width) if best % 2 else (width, height)
        candidates = _shift(_confident(attempts[best]), -margin)
        return self._locate(rotate_image(image, best), best, _inside(candidates, *size))

    def _search_tiles(self, image: Image) -> Candidates:
        """A second, finer scale: two by two overlapping tiles, each brought to the detector's canvas."""
        height, width = image.shape[:2]
        tile_h, tile_w = (round(side / (2 - TILE_OVERLAP)) for side in (height, width))
        offsets = [(y, x) for y in (0, height - tile_h) for x in (0, width - tile_w)]
        tiles = [np.ascontiguousarray(image[y : y + tile_h, x : x + tile_w]) for y, x in offsets]
        found = self._net.detect(tiles)
        return _concatenate(
            [_shift(candidates, x, y) for candidates, (y, x) in zip(found, offsets, strict=True)]
        )

    def _locate(self, image: Image, turns: int, candidates: Candidates) -> _Found:
        landmarks, poses = self._landmarks.locate(image, candidates)
        return _Found(image, turns, candidates, landmarks, poses)

    def _sharpen(
        self, found: _Found, scale: float, data: bytes, header: ImageHeader
    ) -> tuple[_Found, float]:
        """Decode again at full size when a face of the reduced picture is smaller than its crops."""
        if scale == 1:
            return found, scale
        matrices = [self._alignment(found, index) for index in range(len(found.landmarks))]
        if all(warp_scale(matrix) <= 1 for matrix in matrices):
            return found, scale
        image, _ = decode(data, header)
        candidates = Candidates(
            _rescale(found.candidates.boxes, 1 / scale),
            found.candidates.scores,
            None if found.candidates.keypoints is None else _rescale(found.candidates.keypoints, 1 / scale),
        )
        landmarks = _rescale(found.landmarks, 1 / scale)
        return replace(
            found, image=rotate_image(image, found.turns), candidates=candidates, landmarks=landmarks
        ), 1.0

    def _alignment(self, found: _Found, index: int) -> NDArray[np.float64]:
        alignment = self._pack.alignment
        if alignment.points == "keypoints" and found.candidates.keypoints is not None:
            return similarity_transform(found.candidates.keypoints[index], alignment.target)
        return similarity_transform(five_points(found.landmarks[index]), alignment.target)

    def _faces(self, found: _Found, scale: float) -> list[DetectedFace]:
        faces = []
        for index, landmarks in enumerate(found.landmarks):
            box = found.candidates.boxes[index]
            upright = self._upright(found, scale)
            corners = upright(box.reshape(2, 2))
            faces.append(
                DetectedFace(
                    bbox=Box(*map(float, (*corners.min(axis=0), *corners.max(axis=0)))),
                    confidence=float(found.candidates.scores[index]),
                    landmarks=upright(landmarks),
                    crops=self._crops(found, index),
                    pose=None if found.poses is None else _turned_pose(found.poses[index], found.turns),
                )
            )
        return faces

    def _upright(self, found: _Found, scale: float) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """Maps points of the turned, decoded image to the full-size upright image."""
        height, width = found.image.shape[:2]
        if found.turns % 2:
            height, width = width, height

        def back(points: NDArray[np.float32]) -> NDArray[np.float32]:
            return _rescale(rotate_points_back(points, found.turns, width, height), 1 / scale)

        return back

    def _crops(self, found: _Found, index: int) -> FaceCrops:
        landmarks: Landmarks = found.landmarks[index]
        aligned = warp(found.image, self._alignment(found, index), self._pack.alignment.size)
        portrait, matrix = square_crop(found.image, landmark_box(landmarks), PORTRAIT_SIZE)
        own = self._pack.attribute_crop
        return FaceCrops(
            aligned=aligned,
            portrait=portrait,
            portrait_landmarks=transform_points(landmarks, matrix),
            attribute=None if own is None else _attribute(found.image, found.candidates.boxes[index], own),
        )


class Detector:
    """The detector as a deployment: one photo at a time on a thread of its own, so that the replica's
    event loop keeps answering health checks and queue probes."""

    def __init__(self) -> None:
        settings = get_settings()
        cv2.setNumThreads(settings.threads)
        pack = load_pack(settings)
        self._model = pack.info
        self._finder = FaceFinder(pack, settings)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="detect")

    async def model(self) -> ModelInfo:
        """The pack this replica runs."""
        return self._model

    async def detect(self, data: bytes, max_faces: int | None = None) -> Detection:
        """As `FaceFinder.detect`."""
        return await asyncio.get_running_loop().run_in_executor(
            self._worker, self._finder.detect, data, max_faces
        )


def _confidence(candidates: Candidates) -> float:
    return float(candidates.scores.max(initial=0.0))


def _confident(candidates: Candidates) -> Candidates:
    return _take(candidates, np.flatnonzero(candidates.scores >= FALLBACK_CONFIDENCE))


def _take(candidates: Candidates, index: NDArray[np.intp]) -> Candidates:
    keypoints = None if candidates.keypoints is None else candidates.keypoints[index]
    return Candidates(candidates.boxes[index], candidates.scores[index], keypoints)


def _shift(candidates: Candidates, dx: float, dy: float | None = None) -> Candidates:
    offset = np.array([dx, dx if dy is None else dy], np.float32)
    keypoints = None if candidates.keypoints is None else candidates.keypoints + offset
    return Candidates(candidates.boxes + np.tile(offset, 2), candidates.scores, keypoints)


def _inside(candidates: Candidates, width: int, height: int) -> Candidates:
    """Clip boxes, found in a padded picture, to the picture itself."""
    limit = np.array([width, height] * 2, np.float32) - 1
    return replace(candidates, boxes=np.clip(candidates.boxes, 0, limit).astype(np.float32))


def _concatenate(parts: list[Candidates]) -> Candidates:
    keypoints = [part.keypoints for part in parts if part.keypoints is not None]
    return Candidates(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate(keypoints) if len(keypoints) == len(parts) else None,
    )


MERGE_IOU = 0.4
"""Boxes of two scales that overlap by more than this are one face; slightly below the detector's own
.5 because a face cut by a tile's edge gives a smaller box."""


def _merge(whole: Candidates, tiles: Candidates) -> Candidates:
    """Join both scales. A box inside a larger one is the same face seen through a tile's edge."""
    both = _concatenate([whole, tiles])
    return _take(both, nms(both.boxes, both.scores, MERGE_IOU))


def _needs_tiles(candidates: Candidates, image: Image, canvas: int) -> bool:
    """Small faces were seen and the decoded picture holds more detail than the canvas showed."""
    long_side = max(image.shape[:2])
    if not len(candidates.boxes) or long_side <= canvas:
        return False
    widths = candidates.boxes[:, 2] - candidates.boxes[:, 0]
    return bool(np.min(widths) < SMALL_FACE * long_side)


def _largest(found: _Found, limit: int) -> _Found:
    boxes = found.candidates.boxes
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order = np.argsort(-area, kind="stable")[:limit]
    return replace(
        found,
        candidates=_take(found.candidates, order),
        landmarks=found.landmarks[order],
        poses=None if found.poses is None else [found.poses[index] for index in order],
    )


def _rescale(points: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Scale pixel coordinates about the corner of the image, pixel centres being whole numbers."""
    return ((points + 0.5) * factor - 0.5).astype(np.float32)


def _turned_pose(pose: Pose, turns: int) -> Pose:
    """The pose in the upright image of a head measured after `turns` quarter turns."""
    return replace(pose, roll=(pose.roll + 90 * turns + 180) % 360 - 180)


def _attribute(image: Image, box: NDArray[np.float32], spec: AttributeCrop) -> Image:
    x1, y1, x2, y2 = map(float, box)
    half = spec.scale * max(x2 - x1, y2 - y1) / 2
    cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
    crop, _ = square_crop(image, Box(cx - half, cy - half, cx + half, cy + half), spec.size)
    return crop
