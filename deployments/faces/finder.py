"""Photo in, faces out: decode once, stand the image upright, find faces, cut the crops others need."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.faces.decoder import Decoder, DirectDecoder
from deployments.packs.nets import AttributeCrop, Candidates, DetectNet, LandmarkNet, ModelPack
from deployments.vision.align import (
    five_points,
    landmark_box,
    similarity_transform,
    square_crop,
    transform_points,
    warp,
    warp_scale,
)
from deployments.vision.decode import Picture
from deployments.vision.nms import nms
from deployments.vision.stored_picture import render
from semblance.settings import Settings
from semblance.storage.pictures import StoredPicture
from semblance.types import Box, DetectedFace, Detection, FaceCrops, Image, Pose

PORTRAIT_SIZE = 112
"""Side of the portrait crop in pixels: the input of the open pack's age and expression nets."""

SMALL_FACE = 40 / 512
"""A face narrower than this share of the detector's canvas is near the limit of what it finds (the
open detector loses faces of 10-20 px on its 512 px canvas), so the photo is searched again in tiles."""

TILE_OVERLAP = 0.25
"""Share of a tile's side that it shares with its neighbour: a face on a seam is whole in one tile."""

MERGE_IOU = 0.4
"""Boxes of two scales that overlap by more than this are one face; slightly below the detector's own
.5 because a face cut by a tile's edge gives a smaller box."""

LOOK_AGAIN = 0.75
"""A best score below this makes the finder look at the photo turned and padded as well."""

SURE = 0.8
"""Score that a face found only so must reach: each further look is a further chance for a false alarm."""

VIEW_ANGLES = (0, 40, -40, 90, -90, 180)
"""Degrees by which the photo is turned, counter-clockwise, when nothing sure was found. The open
detector and landmarks stand 40 degrees of roll either way."""

VIEW_PADDINGS = (0.0, 0.15)
"""Borders of those views, as shares of the long side: a tight crop of a bare face scores .09 in the
open detector, with a border .9. A face is trusted by the mean of its two scores, since a single score
of a turned photo is easily high by chance."""

TURN_MARGIN = 0.1
"""By how much a turned view must score better than the photo as it stands to be believed."""

SURROUNDINGS = 3.0
"""Side of what is read again of a picture around a face, for sharper crops, in long sides of the face's box.
The widest crop, that of the face's attributes, is half as wide, and lies inside of a turned part, too."""


@dataclass(frozen=True, slots=True)
class _View:
    """The picture or a part of it, reduced and turned; matrix [2, 3] maps its full-size pixels to those of
    image."""

    image: Image
    angle: int
    padding: float
    matrix: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Found:
    """Faces and landmarks in the pixels of the view."""

    view: _View
    candidates: Candidates
    landmarks: NDArray[np.float32]
    poses: list[Pose] | None


class FaceFinder:
    """Finds and cuts faces; synchronous, one photo at a time, usable without Ray."""

    def __init__(self, pack: ModelPack, settings: Settings, decoder: Decoder | None = None) -> None:
        """decoder: opens the pictures; without one they are decoded in this process, unguarded."""
        self._settings = settings
        self._pack = pack
        self._decoder = decoder or DirectDecoder(settings)
        self.net: DetectNet = pack.detector()
        self._landmarks: LandmarkNet = pack.landmarks()

    def detect(self, data: bytes, max_faces: int | None = None) -> Detection:
        """All faces of an encoded picture, largest first, at most `max_faces`.

        Faces are looked for in the picture reduced to about the detector's canvas, however large it is. At a
        finer size only the surroundings of those faces are read whose crops would be blurred otherwise.

        Raises ImageTooLargeError, UnreadableImageError. A picture without faces is a Detection
        without faces, not an error.
        """
        with self._decoder.open(data) as picture:
            header = picture.header
            image, scale = picture.whole(self.net.input_size)
            view, candidates = self._find(picture, _View(image, 0, 0.0, _reduction(scale)))
            number = len(candidates.boxes)
            if not number:
                return Detection(header.width, header.height, (), 0)
            limit = min(max_faces or self._settings.max_faces, self._settings.max_faces)
            found = self._locate(view, _largest(candidates, limit))
            # The smallest first: it asks for the finest decoding, which then serves the others.
            faces = [
                self._face(*self._sharper(picture, found, i)) for i in reversed(range(len(found.landmarks)))
            ]
        return Detection(header.width, header.height, tuple(reversed(faces)), number)

    def _find(self, picture: Picture, straight: _View) -> tuple[_View, Candidates]:
        """The view of the picture in which its faces are found best, and those faces."""
        candidates = self.net.detect([straight.image])[0]
        if _has_small(candidates, straight.image) and _long_side(picture) > self.net.input_size:
            candidates = _merge(candidates, self._search_tiles(picture, straight))
        if _confidence(candidates) >= LOOK_AGAIN:
            return straight, candidates
        return self._look_again(straight, candidates)

    def _look_again(self, straight: _View, candidates: Candidates) -> tuple[_View, Candidates]:
        """The best of the photo's turned and padded views, or the photo as it stands."""
        best, best_score = (straight, candidates), 0.0
        for angle in VIEW_ANGLES:
            attempts = [(straight, candidates)] if angle == 0 else []
            for padding in VIEW_PADDINGS[len(attempts) :]:
                view = _turn(straight, angle, padding)
                attempts.append((view, self.net.detect([view.image])[0]))
            scores = [_confidence(found) for _, found in attempts]
            score = float(np.mean(scores)) - (TURN_MARGIN if angle else 0)
            if max(scores) >= SURE and score > best_score:
                view, found = attempts[int(np.argmax(scores))]
                best, best_score = (view, _take(found, np.flatnonzero(found.scores >= SURE))), score
        return best

    def _search_tiles(self, picture: Picture, straight: _View) -> Candidates:
        """A second, finer scale: two by two overlapping tiles, each brought to the detector's canvas."""
        image, scale = picture.whole(round(self.net.input_size * (2 - TILE_OVERLAP)))
        height, width = image.shape[:2]
        tile_h, tile_w = (max(1, round(side / (2 - TILE_OVERLAP))) for side in (height, width))
        offsets = [(x, y) for y in (0, height - tile_h) for x in (0, width - tile_w)]
        tiles = [np.ascontiguousarray(image[y : y + tile_h, x : x + tile_w]) for x, y in offsets]
        found = self.net.detect(tiles)
        tiled = _concatenate([_shift(part, offset) for part, offset in zip(found, offsets, strict=True)])
        return _moved(tiled, _then(_inverse(_reduction(scale)), straight.matrix))

    def _locate(self, view: _View, candidates: Candidates) -> _Found:
        return _Found(view, candidates, *self._landmarks.locate(view.image, candidates))

    def _sharper(self, picture: Picture, found: _Found, index: int) -> tuple[_Found, int]:
        """A face of a reduced picture, located again in a finer part of it where the embedder's crop would be
        larger than the face in the reduced one."""
        reduced, enlarged = warp_scale(found.view.matrix), warp_scale(self._alignment(found, index))
        if enlarged <= 1 or reduced >= 1:
            return found, index
        divisor = 2 ** max(0, math.floor(math.log2(1 / (reduced * enlarged))))
        view, back = found.view, _inverse(found.view.matrix)
        box = found.candidates.boxes[index]
        centre = transform_points(_corners(box), back).mean(axis=0)
        half = SURROUNDINGS / 2 * max(box[2] - box[0], box[3] - box[1]) / reduced
        low, high = np.floor(centre - half), np.ceil(centre + half)
        span = int(low[0]), int(low[1]), int(high[0]), int(high[1])
        image, begin = picture.part(span, divisor)
        around = _View(image, 0, 0.0, _reduction(1 / divisor, begin))
        finer = _turn(around, view.angle, view.padding)
        one = _take(found.candidates, np.array([index]))
        return self._locate(finer, _moved(one, _then(back, finer.matrix))), 0

    def _alignment(self, found: _Found, index: int) -> NDArray[np.float64]:
        alignment = self._pack.alignment
        if alignment.points == "keypoints" and found.candidates.keypoints is not None:
            return similarity_transform(found.candidates.keypoints[index], alignment.target)
        return similarity_transform(five_points(found.landmarks[index]), alignment.target)

    def _face(self, found: _Found, index: int) -> DetectedFace:
        back = _inverse(found.view.matrix)
        return DetectedFace(
            bbox=_bounds(transform_points(_corners(found.candidates.boxes[index]), back)),
            confidence=float(found.candidates.scores[index]),
            landmarks=transform_points(found.landmarks[index], back),
            crops=self._crops(found, index),
            pose=None if found.poses is None else _turned_pose(found.poses[index], found.view.angle),
        )

    def _crops(self, found: _Found, index: int) -> FaceCrops:
        image, landmarks = found.view.image, found.landmarks[index]
        portrait, matrix = square_crop(image, landmark_box(landmarks), PORTRAIT_SIZE)
        own = self._pack.attribute_crop
        return FaceCrops(
            aligned=warp(image, self._alignment(found, index), self._pack.alignment.size),
            portrait=portrait,
            portrait_landmarks=transform_points(landmarks, matrix),
            attribute=None if own is None else _attribute(image, found.candidates.boxes[index], own),
        )

    def render(self, data: bytes) -> StoredPicture:
        """What is to be stored of an encoded picture. Here, because nowhere else are users' files decoded.

        Raises as `detect` does.
        """
        with self._decoder.open(data) as picture:
            return render(picture)


def _turn(view: _View, angle: int, padding: float) -> _View:
    """An upright view with a border of padding x its long side, turned counter-clockwise by degrees."""
    if not angle and not padding:
        return view
    image = view.image
    height, width = image.shape[:2]
    matrix: NDArray[np.float64] = np.asarray(
        cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0), np.float64
    )
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    margin = 2 * padding * max(width, height)
    size = (round(width * cos + height * sin + margin), round(width * sin + height * cos + margin))
    matrix[:, 2] += (np.array(size) - (width, height)) / 2
    turned = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR)
    return _View(turned.astype(np.uint8, copy=False), angle, padding, _then(view.matrix, matrix))


def _reduction(scale: float, begin: tuple[int, int] = (0, 0)) -> NDArray[np.float64]:
    """From full-size pixels to blocks of 1 / scale x 1 / scale of them, the first of which begins at `begin`;
    the centres of either are whole numbers."""
    x, y = ((scale - 1) / 2 - start * scale for start in begin)
    return np.array([(scale, 0.0, x), (0.0, scale, y)])


def _then(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """The affine matrix [2, 3] that maps as `first` and then `second` do."""
    return np.asarray(second @ np.vstack([first, (0.0, 0.0, 1.0)]))


def _inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.invertAffineTransform(matrix), np.float64)


def _confidence(candidates: Candidates) -> float:
    return float(candidates.scores.max(initial=0.0))


def _take(candidates: Candidates, index: NDArray[np.intp]) -> Candidates:
    keypoints = None if candidates.keypoints is None else candidates.keypoints[index]
    return Candidates(candidates.boxes[index], candidates.scores[index], keypoints)


def _shift(candidates: Candidates, offset: tuple[int, int]) -> Candidates:
    delta = np.array(offset, np.float32)
    keypoints = None if candidates.keypoints is None else candidates.keypoints + delta
    return Candidates(candidates.boxes + np.tile(delta, 2), candidates.scores, keypoints)


def _concatenate(parts: list[Candidates]) -> Candidates:
    keypoints = [part.keypoints for part in parts if part.keypoints is not None]
    return Candidates(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate(keypoints) if len(keypoints) == len(parts) else None,
    )


def _merge(whole: Candidates, tiles: Candidates) -> Candidates:
    both = _concatenate([whole, tiles])
    return _take(both, nms(both.boxes, both.scores, MERGE_IOU))


def _moved(candidates: Candidates, matrix: NDArray[np.float64]) -> Candidates:
    """The same faces in the pixels of an image that is shifted or of another size, but turned alike."""
    keypoints = candidates.keypoints
    return Candidates(
        transform_points(candidates.boxes.reshape(-1, 2, 2), matrix).reshape(-1, 4),
        candidates.scores,
        None if keypoints is None else transform_points(keypoints, matrix),
    )


def _has_small(candidates: Candidates, image: Image) -> bool:
    """Whether small faces were seen, beside which there may be smaller ones."""
    if not len(candidates.boxes):
        return False
    widths = candidates.boxes[:, 2] - candidates.boxes[:, 0]
    return bool(np.min(widths) < SMALL_FACE * max(image.shape[:2]))


def _long_side(picture: Picture) -> int:
    return max(picture.header.width, picture.header.height)


def _largest(candidates: Candidates, limit: int) -> Candidates:
    boxes = candidates.boxes
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return _take(candidates, np.argsort(-area, kind="stable")[:limit])


def _corners(box: NDArray[np.float32]) -> NDArray[np.float32]:
    x1, y1, x2, y2 = box
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float32)


def _bounds(points: NDArray[np.float32]) -> Box:
    return Box(*map(float, (*points.min(axis=0), *points.max(axis=0))))


def _turned_pose(pose: Pose, angle: int) -> Pose:
    """The pose in the upright image of a head measured in a view turned by `angle`."""
    return replace(pose, roll=(pose.roll + angle + 180) % 360 - 180)


def _attribute(image: Image, box: NDArray[np.float32], spec: AttributeCrop) -> Image:
    x1, y1, x2, y2 = map(float, box)
    half = spec.scale * max(x2 - x1, y2 - y1) / 2
    cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
    crop, _ = square_crop(image, Box(cx - half, cy - half, cx + half, cy + half), spec.size)
    return crop
