"""A child's portrait from two faces, with landmarks and OpenCV alone: the same two faces give the same
picture.

Both faces are warped to one shape, their symmetric mean with a child's proportions, and blended half and half
in CIELAB (Benson and Perrett, "Extracting prototypical facial images
from expression", Perception 22, 1993: shape and colour averaged separately). It is a toy, and shows nothing
about real children.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.vision.align import similarity_transform, transform_points, warp_scale
from deployments.vision.landmarks import JAW, LEFT_BROW, LEFT_EYE, MIRROR, RIGHT_BROW, RIGHT_EYE, eye_centres
from semblance.types import Image, Landmarks

SIZE: Final = 512
"""Side of the portrait in pixels."""

Points: TypeAlias = NDArray[np.float64]
Lab: TypeAlias = NDArray[np.float32]
"""CIELAB in OpenCV's 8-bit scale, where L is 0..255 and a and b are shifted by 128."""

_EYES_Y: Final = 240.0
_EYE_DISTANCE: Final = 142.0
"""Positions of the eyes before they get a child's proportions, in pixels of the portrait."""

_NOSE: Final = slice(27, 36)
_NOSE_BASE: Final = slice(30, 36)
_MOUTH: Final = slice(48, 68)
_CHIN: Final = 8
_FOREHEAD_POINTS: Final = slice(68, 77)
"""The points that `_framed` adds to the 68."""

_EYE_SIZE: Final = 1.16
_NOSE_SIZE: Final = (0.82, 0.84)
_MOUTH_SIZE: Final = (0.86, 0.94)
_LOWER_FACE: Final = 0.88
"""A child's proportions relative to an adult's: larger eyes, smaller nose and mouth, and a lower face that is
short below a high forehead (Enlow and Hans, Essentials of Facial Growth: the face grows down and forward
from under a skull that is nearly complete). Weaker than in nature, because stretched skin looks like a
mask."""

_FOREHEAD: Final = 0.78
"""Height of the forehead above the brows, in eye distances."""

_SHADE: Final = np.array((22.0, 5.0, 6.0), np.float32)
"""How much the skin of a face may differ from that of its cheeks, in Lab."""

_GLOW: Final = np.array((7.0, 2.0, 1.0), np.float32)
"""Added to the whole face: a little brighter and rosier."""

_BACKDROP: Final = np.array((222.0, 126.0, 120.0), np.float32)
"""Pale blue."""

_RING: Final = 1.9
"""Diameter, in sides of the portrait, of the ring of fixed points at which the triangles end."""


@dataclass(frozen=True, slots=True)
class Face:
    """A parent's face. image: upright RGB. landmarks: in its pixels."""

    image: Image
    landmarks: Landmarks


def compose(a: Face, b: Face) -> Image:
    """The portrait, uint8 [SIZE, SIZE, 3]. The order of the parents does not matter.

    Raises ValueError if the landmarks of a face coincide or are not finite.
    """
    cuts = [_cut(face) for face in (a, b)]
    shape = _child(_symmetric((cuts[0].landmarks.astype(np.float64) + cuts[1].landmarks) / 2))
    target = _framed(shape)
    triangles = _triangulate(target)
    warped = [_warp(cut, target, triangles) for cut in cuts]
    return _present(_child_skin(_blend(warped[0], warped[1], target), target), target)


def _cut(face: Face) -> Face:
    """The face and its landmarks in the portrait's frame, upright and with the eyes in place. Outside the
    photo its mirror image continues."""
    eyes = np.array(eye_centres(face.landmarks))
    wanted = np.array([(SIZE - _EYE_DISTANCE, 2 * _EYES_Y), (SIZE + _EYE_DISTANCE, 2 * _EYES_Y)]) / 2
    image, landmarks = face.image, face.landmarks
    shrink = 2 * warp_scale(similarity_transform(eyes, wanted))
    if shrink < 1:
        # Bilinear interpolation would skip pixels.
        width, height = (max(1, round(side * shrink)) for side in (image.shape[1], image.shape[0]))
        ratio = np.array((width / image.shape[1], height / image.shape[0]))
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        landmarks = ((landmarks + 0.5) * ratio - 0.5).astype(np.float32)
        eyes = (eyes + 0.5) * ratio - 0.5
    matrix = similarity_transform(eyes, wanted)
    cut = cv2.warpAffine(
        image, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return Face(np.asarray(cut, np.uint8), transform_points(landmarks, matrix))


def _symmetric(shape: Points) -> Points:
    mirrored = shape[MIRROR] * (-1, 1) + (SIZE, 0)
    return (shape + mirrored) / 2


def _child(shape: Points) -> Points:
    """The shape with a child's proportions."""
    child = shape.copy()
    eyes_y = float(shape[LEFT_EYE][:, 1].mean() + shape[RIGHT_EYE][:, 1].mean()) / 2
    below = child[:, 1] > eyes_y
    child[below, 1] = eyes_y + (child[below, 1] - eyes_y) * _LOWER_FACE
    for eye in (LEFT_EYE, RIGHT_EYE):
        child[eye] = _scaled(child[eye], (_EYE_SIZE, _EYE_SIZE))
    for brow in (LEFT_BROW, RIGHT_BROW):
        child[brow, 1] -= 0.04 * _EYE_DISTANCE
    child[_NOSE] = _scaled(child[_NOSE], _NOSE_SIZE, anchor=child[_NOSE][0])
    child[_MOUTH] = _scaled(child[_MOUTH], _MOUTH_SIZE)
    child[_MOUTH, 1] -= 0.05 * _EYE_DISTANCE
    # Round cheeks and a small chin: the jaw moves towards an ellipse.
    jaw = child[JAW]
    angle = np.linspace(np.pi, 0, 17)
    centre = np.array([SIZE / 2, jaw[0, 1]])
    round_jaw = centre + np.column_stack(
        [np.cos(angle) * (jaw[16, 0] - jaw[0, 0]) / 2 * 1.02, np.sin(angle) * (jaw[_CHIN, 1] - jaw[0, 1])]
    )
    child[JAW] = 0.5 * jaw + 0.5 * round_jaw
    return child


def _scaled(points: Points, size: tuple[float, float], anchor: Points | None = None) -> Points:
    centre = points.mean(axis=0) if anchor is None else anchor
    return centre + (points - centre) * size


def _framed(landmarks: NDArray[np.floating]) -> Points:
    """The landmarks, the outline of a forehead above them, and a ring around the portrait: float64 [K, 2]."""
    points = landmarks.astype(np.float64)
    jaw, brows = points[JAW], points[17:27]
    top = brows[:, 1].min() - _FOREHEAD * _EYE_DISTANCE
    centre = np.array([(jaw[0, 0] + jaw[16, 0]) / 2, jaw[0, 1]])
    angle = np.linspace(np.pi, 2 * np.pi, 11)[1:-1]
    forehead = centre + np.column_stack(
        [np.cos(angle) * (jaw[16, 0] - jaw[0, 0]) / 2, np.sin(angle) * (centre[1] - top)]
    )
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    ring = SIZE / 2 + np.column_stack([np.cos(turn), np.sin(turn)]) * SIZE * _RING / 2
    return np.vstack([points, forehead, ring])


def _triangulate(points: Points) -> NDArray[np.intp]:
    """Delaunay triangles of the points: their indices, [T, 3]."""
    reach = SIZE * 4
    mesh = cv2.Subdiv2D((-reach, -reach, 3 * reach, 3 * reach))
    for point in points.astype(np.float32):
        mesh.insert((float(point[0]), float(point[1])))
    corners = np.asarray(mesh.getTriangleList()).reshape(-1, 3, 2)
    distance = np.linalg.norm(corners[:, :, None, :] - points.astype(np.float32), axis=-1)
    # The outermost corners of the mesh are not among the points.
    known = (distance.min(axis=-1) < 0.01).all(axis=1)
    return np.asarray(distance[known].argmin(axis=-1), np.intp)


def _warp(face: Face, target: Points, triangles: NDArray[np.intp]) -> Image:
    """The face with its points moved to those of the target, triangle by triangle."""
    source = _framed(face.landmarks)
    where = np.zeros((SIZE, SIZE, 2), np.float32)
    for triangle in triangles:
        corners = np.column_stack([target[triangle], np.ones(3)])
        x1, y1 = np.maximum(np.floor(corners[:, :2].min(axis=0)).astype(int), 0)
        x2, y2 = np.minimum(np.ceil(corners[:, :2].max(axis=0)).astype(int) + 1, SIZE)
        if x1 >= x2 or y1 >= y2:
            continue
        xs, ys = np.meshgrid(np.arange(x1, x2), np.arange(y1, y2))
        # Barycentric coordinates: the share of each corner in a pixel.
        shares = np.stack([xs, ys, np.ones_like(xs)], axis=-1) @ np.linalg.inv(corners)
        inside = (shares >= -1e-6).all(axis=-1)
        where[y1:y2, x1:x2][inside] = shares[inside] @ source[triangle]
    warped = cv2.remap(
        face.image, where[:, :, 0], where[:, :, 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(warped, np.uint8)


def _outline(target: Points) -> NDArray[np.int32]:
    """The polygon around the face: jaw and forehead."""
    around = np.vstack([target[JAW], target[_FOREHEAD_POINTS]])
    return _hull(around)


def _hull(points: Points) -> NDArray[np.int32]:
    return np.asarray(cv2.convexHull(points.round().astype(np.int32)), np.int32)


def _mask(polygons: Sequence[NDArray[np.int32]], *, grow: int = 0, blur: float = 0.0) -> NDArray[np.float32]:
    """1 inside the polygons, which grow by `grow` pixels, 0 outside, with blurred edges: [SIZE, SIZE, 1]."""
    mask = np.zeros((SIZE, SIZE), np.float32)
    for polygon in polygons:
        cv2.fillPoly(mask, [polygon], 1.0)
    if grow:
        mask = np.asarray(cv2.dilate(mask, np.ones((2 * grow + 1, 2 * grow + 1), np.uint8)), np.float32)
    if blur:
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), blur), np.float32)
    return mask[:, :, None]


def _blend(a: Image, b: Image, target: Points) -> Lab:
    """Half of each face, after both got the mean colour and contrast: the light of two photos differs more
    than the skin of two people."""
    face = _mask([_outline(target)])[:, :, 0] > 0
    labs = [np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2LAB), np.float32) for image in (a, b)]
    means = [lab[face].mean(axis=0) for lab in labs]
    spreads = [lab[face].std(axis=0) + 1e-3 for lab in labs]
    mean, spread = (means[0] + means[1]) / 2, (spreads[0] + spreads[1]) / 2
    alike = [
        (lab - own_mean) * (spread / own_spread).clip(0.6, 1.6) + mean
        for lab, own_mean, own_spread in zip(labs, means, spreads, strict=True)
    ]
    return np.asarray((alike[0] + alike[1]) / 2, np.float32)


def _child_skin(lab: Lab, target: Points) -> Lab:
    """Soft, even skin from the hairline to the chin, with unchanged eyes, brows, nose and mouth.

    Wrinkles, beards and hair differ much from the colour of the cheeks. The difference is kept only up to
    `_SHADE`, which leaves the face its roundness.
    """
    cheeks = np.vstack([target[[2, 3, 31, 41, 36]], target[[14, 13, 35, 46, 45]]]).round().astype(np.int32)
    on_cheeks = _mask([cheeks[:5], cheeks[5:]])[:, :, 0] > 0
    tone = np.median(lab[on_cheeks], axis=0)
    smooth = np.asarray(cv2.GaussianBlur(lab, (0, 0), 9), np.float32)
    skin = tone + _SHADE * np.tanh((smooth - tone) / _SHADE) + _GLOW
    polygons = [
        _hull(target[part]) for part in (LEFT_EYE, RIGHT_EYE, LEFT_BROW, RIGHT_BROW, _NOSE_BASE, _MOUTH)
    ]
    features = _mask(polygons, grow=7, blur=7)
    detail = np.asarray(cv2.bilateralFilter(lab.clip(0, 255), 7, 12, 5), np.float32) + _GLOW
    return np.asarray(features * detail + (1 - features) * (0.8 * skin + 0.2 * detail), np.float32)


def _present(lab: Lab, target: Points) -> Image:
    """The face on a plain backdrop, since blended backgrounds and hair look like ghosts."""
    face = _mask([_outline(target)], blur=7)
    mixed = (lab * face + _BACKDROP * (1 - face)).clip(0, 255).round().astype(np.uint8)
    return np.asarray(cv2.cvtColor(mixed, cv2.COLOR_LAB2RGB), np.uint8)
