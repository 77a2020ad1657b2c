"""Photo in, faces out: decode it once, find the faces, turn each upright, and cut the crops that the other
nets need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deployments.faces.decoder import Decoder, DirectDecoder
from deployments.faces.upright import SURROUNDINGS, stand_upright
from deployments.faces.views import (
    SeenFace,
    View,
    between,
    concatenate,
    confidence,
    inverse,
    moved,
    reduction,
    seen_faces,
    take,
    then,
    turned,
)
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
from deployments.vision.decode import Photo
from deployments.vision.nms import nms
from deployments.vision.stored_picture import render
from semblance.settings import Settings
from semblance.storage.pictures import StoredPicture
from semblance.tracing import span
from semblance.types import Box, DetectedFace, Detection, FaceCrops, Image, Pose

PORTRAIT_SIZE = 112
"""Side of the portrait crop in pixels: the input of the open pack's age and expression nets."""

TILE_OVERLAP = 0.25
"""Share of a tile's side that it shares with its neighbour: a face on a seam is whole in one tile."""

MERGE_IOU = 0.4
"""Boxes of two scales that overlap by more than this are one face; slightly below the detector's own
.5 because a face cut by a tile's edge gives a smaller box."""

LOOK_AGAIN = 0.75
"""If the best score is below this, the finder also looks at the photo turned and padded."""

SURE = 0.8
"""Score that a face must reach if it is found only in this way: each further look is another chance of a
false alarm."""

VIEW_ANGLES = (0, 40, -40, 90, -90, 180)
"""Degrees by which the photo is turned, counter-clockwise, if no face was found with certainty. Detectors and
the open landmarks tolerate a roll of 40 degrees either way."""

VIEW_PADDINGS = (0.0, 0.15)
"""Borders of those views, as shares of the long side: some detectors miss a face that fills the photo and
find it with a border. A face is trusted by the mean of its two scores, since a single score of a turned photo
is easily high by chance."""

TURN_MARGIN = 0.1
"""A turned view is used only if its score exceeds that of the unturned photo by this much."""


@dataclass(frozen=True, slots=True)
class _Located:
    """A face with its landmarks, float32 [68, 2], in pixels of the view.

    alignment: float64 [2, 3], from pixels of the view to those of the embedding net's crop.
    """

    seen: SeenFace
    landmarks: NDArray[np.float32]
    pose: Pose | None
    alignment: NDArray[np.float64]


class FaceFinder:
    """Finds faces and cuts their crops; synchronous, one photo at a time, usable without Ray."""

    def __init__(self, pack: ModelPack, settings: Settings, decoder: Decoder | None = None) -> None:
        """decoder: opens the photos; without one they are decoded in this process, unguarded."""
        self._settings = settings
        self._pack = pack
        self._decoder = decoder or DirectDecoder(settings)
        self.net: DetectNet = pack.detector()
        self._landmarks: LandmarkNet = pack.landmarks()

    def detect(self, data: bytes, max_faces: int | None = None, *, counted: bool = True) -> Detection:
        """All faces of an encoded photo, largest first, at most `max_faces`.

        counted: whether the number of all faces is wanted, too. Without it, doubtful faces that are smaller
        than `max_faces` certain ones are not looked at again.

        Faces are searched for in the photo reduced to about the detector's canvas. If a face's crops would be
        blurred at that size, its surroundings are also read at a finer one.

        Raises ImageTooLargeError, UnreadableImageError. A photo without faces is a Detection
        without faces, not an error.
        """
        limit = min(max_faces or self._settings.max_faces, self._settings.max_faces)
        with span("detect"), self._decoder.open(data) as photo:
            header = photo.header
            image, scale = photo.whole(self.net.input_size)
            seen = self._find(photo, View(image, 0, 0.0, reduction(scale)), None if counted else limit)
            # The smallest first: it asks for the finest decoding, which then serves the others.
            faces = [
                self._face(self._sharper(photo, self._locate(face)))
                for face in reversed(sorted(seen, key=_area, reverse=True)[:limit])
            ]
        return Detection(header.width, header.height, tuple(reversed(faces)), len(seen))

    def _find(self, photo: Photo, straight: View, largest: int | None) -> list[SeenFace]:
        """The faces of the photo, each with a view in which it is upright; some of those that are not among
        the `largest` may be missing."""
        candidates = self.net.detect([straight.image])[0]
        small = self._pack.small_face * max(straight.image.shape[:2])
        if _narrowest(candidates) < small and _long_side(photo) > self.net.input_size:
            candidates = _merge(candidates, self._search_tiles(photo, straight))
        seen = self._upright(straight, candidates, largest)
        if max((confidence(face.candidate) for face in seen), default=0.0) < LOOK_AGAIN:
            view, found = self._look_again(straight, candidates)
            if view is not straight:
                seen = self._upright(view, found)
        return seen + self._turned_alike(straight, seen)

    def _turned_alike(self, straight: View, seen: Sequence[SeenFace]) -> list[SeenFace]:
        """Faces found only when the whole photo stands like most of the others, as in a group photo that was
        scanned upside down."""
        angle = _common_angle(seen)
        if angle is None:
            return []
        view = turned(straight, angle, 0.0)
        found = self.net.detect([view.image])[0]
        known = [_bounds(face.outline) for face in seen]
        centres = [face.outline.mean(axis=0) for face in seen_faces(view, found)]
        new = [
            index
            for index, (x, y) in enumerate(centres)
            if not any(box.x1 < x < box.x2 and box.y1 < y < box.y2 for box in known)
        ]
        return self._upright(view, take(found, np.array(new, np.intp)))

    def _upright(self, view: View, candidates: Candidates, largest: int | None = None) -> list[SeenFace]:
        most, upright_score = self._settings.max_faces, self._pack.upright_score
        return stand_upright(self.net, view, candidates, upright_score, most, largest=largest)

    def _look_again(self, straight: View, candidates: Candidates) -> tuple[View, Candidates]:
        """The best of the photo's turned and padded views, or the unturned photo."""
        best, best_score = (straight, candidates), 0.0
        for angle in VIEW_ANGLES:
            attempts = [(straight, candidates)] if angle == 0 else []
            for padding in VIEW_PADDINGS[len(attempts) :]:
                view = turned(straight, angle, padding)
                attempts.append((view, self.net.detect([view.image])[0]))
            scores = [confidence(found) for _, found in attempts]
            score = float(np.mean(scores)) - (TURN_MARGIN if angle else 0)
            if max(scores) >= SURE and score > best_score:
                view, found = attempts[int(np.argmax(scores))]
                best, best_score = (view, take(found, np.flatnonzero(found.scores >= SURE))), score
        return best

    def _search_tiles(self, photo: Photo, straight: View) -> Candidates:
        """A second, finer scale: two by two overlapping tiles, each brought to the detector's canvas."""
        image, scale = photo.whole(round(self.net.input_size * (2 - TILE_OVERLAP)))
        height, width = image.shape[:2]
        tile_h, tile_w = (max(1, round(side / (2 - TILE_OVERLAP))) for side in (height, width))
        offsets = [(x, y) for y in (0, height - tile_h) for x in (0, width - tile_w)]
        tiles = [np.ascontiguousarray(image[y : y + tile_h, x : x + tile_w]) for x, y in offsets]
        found = self.net.detect(tiles)
        shifts = [np.array([(1.0, 0.0, x), (0.0, 1.0, y)]) for x, y in offsets]
        tiled = concatenate([moved(part, shift) for part, shift in zip(found, shifts, strict=True)])
        return moved(tiled, then(inverse(reduction(scale)), straight.matrix))

    def _locate(self, face: SeenFace) -> _Located:
        landmarks, poses = self._landmarks.locate(face.view.image, face.candidate)
        pose = None if poses is None else poses[0]
        return _Located(face, landmarks[0], pose, self._alignment(face, landmarks[0]))

    def _sharper(self, photo: Photo, face: _Located) -> _Located:
        """A face of a reduced photo, located again in a finer part of it if the embedder's crop would be
        larger than the face in the reduced one."""
        view, candidate = face.seen.view, face.seen.candidate
        reduced, enlarged = warp_scale(view.matrix), warp_scale(face.alignment)
        if enlarged <= 1 or reduced >= 1:
            return face
        divisor = 2 ** max(0, math.floor(math.log2(1 / (reduced * enlarged))))
        box = candidate.boxes[0]
        centre = transform_points((box[:2] + box[2:]) / 2, inverse(view.matrix))
        half = SURROUNDINGS / 2 * max(box[2] - box[0], box[3] - box[1]) / reduced
        low, high = np.floor(centre - half), np.ceil(centre + half)
        span = int(low[0]), int(low[1]), int(high[0]), int(high[1])
        image, begin = photo.part(span, divisor)
        finer = turned(View(image, 0, 0.0, reduction(1 / divisor, begin)), view.angle, view.padding)
        candidate = moved(candidate, between(view, finer))
        return self._locate(replace(face.seen, view=finer, candidate=candidate))

    def _alignment(self, face: SeenFace, landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
        alignment, keypoints = self._pack.alignment, face.candidate.keypoints
        if alignment.points == "keypoints" and keypoints is not None:
            return similarity_transform(keypoints[0], alignment.target)
        return similarity_transform(five_points(landmarks), alignment.target)

    def _face(self, face: _Located) -> DetectedFace:
        view, candidate = face.seen.view, face.seen.candidate
        back = inverse(view.matrix)
        return DetectedFace(
            bbox=_bounds(face.seen.outline),
            confidence=float(candidate.scores[0]),
            landmarks=transform_points(face.landmarks, back),
            crops=self._crops(face),
            pose=None if face.pose is None else _turned_pose(face.pose, view.angle),
        )

    def _crops(self, face: _Located) -> FaceCrops:
        image = face.seen.view.image
        portrait, matrix = square_crop(image, landmark_box(face.landmarks), PORTRAIT_SIZE)
        own = self._pack.attribute_crop
        return FaceCrops(
            aligned=warp(image, face.alignment, self._pack.alignment.size),
            portrait=portrait,
            portrait_landmarks=transform_points(face.landmarks, matrix),
            attribute=None if own is None else _attribute(image, face.seen.candidate.boxes[0], own),
        )

    def render(self, data: bytes) -> StoredPicture:
        """The files to store of an encoded photo. They are rendered here because users' files are decoded
        nowhere else.

        Raises as `detect` does.
        """
        with span("render"), self._decoder.open(data) as photo:
            return render(photo)


def _common_angle(seen: Sequence[SeenFace]) -> int | None:
    """The angle at which most of the faces stand upright, None if the photo is upright itself; of two the one
    with the surest face. A single face that is only tilted, by up to 45 degrees, says nothing about the
    photo."""
    sureness: dict[int, list[float]] = {}
    for face in seen:
        sureness.setdefault(face.view.angle % 360, []).append(confidence(face.candidate))
    if not sureness:
        return None
    angle = max(sureness, key=lambda angle: (len(sureness[angle]), max(sureness[angle])))
    return angle if angle and (45 < angle < 315 or len(sureness[angle]) > 1) else None


def _merge(whole: Candidates, tiles: Candidates) -> Candidates:
    both = concatenate([whole, tiles])
    return take(both, nms(both.boxes, both.scores, MERGE_IOU))


def _narrowest(candidates: Candidates) -> float:
    """Width in pixels of the narrowest face; infinite without faces."""
    return float((candidates.boxes[:, 2] - candidates.boxes[:, 0]).min(initial=math.inf))


def _long_side(photo: Photo) -> int:
    return max(photo.header.width, photo.header.height)


def _area(face: SeenFace) -> float:
    """Square pixels of a face's box in the full-size photo."""
    return _bounds(face.outline).area


def _bounds(points: NDArray[np.float32]) -> Box:
    return Box(*map(float, (*points.min(axis=0), *points.max(axis=0))))


def _turned_pose(pose: Pose, angle: int) -> Pose:
    """A head's pose in the upright image, from its pose in a view turned by `angle`."""
    return replace(pose, roll=(pose.roll + angle + 180) % 360 - 180)


def _attribute(image: Image, box: NDArray[np.float32], spec: AttributeCrop) -> Image:
    x1, y1, x2, y2 = map(float, box)
    half = spec.scale * max(x2 - x1, y2 - y1) / 2
    cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
    crop, _ = square_crop(image, Box(cx - half, cy - half, cx + half, cy + half), spec.size)
    return crop
