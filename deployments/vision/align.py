"""Cuts a face's crops out of an image: transforms and boxes.

A matrix is float 2x3 and maps image pixels to crop pixels, both with the centre of the top-left pixel at
(0, 0): crop = matrix @ (x, y, 1).
"""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.vision.landmarks import LEFT_EYE, RIGHT_EYE, complex_points, means_of
from semblance.types import Box, Image

_FIVE_POINTS: Final = means_of(LEFT_EYE, RIGHT_EYE, slice(30, 31), slice(48, 49), slice(54, 55))

_MARGIN: Final = 2
"""Source pixels kept around a crop's outline, so that interpolation at its edge sees its neighbours."""


def five_points(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """The five alignment points of the 68 landmarks: the eyes' means, nose tip, mouth corners.

    landmarks: float32 [..., 68, 2]. Returns float32 [..., 5, 2] in the same pixels; left and right as
    seen in the image.
    """
    return np.asarray(_FIVE_POINTS @ landmarks, np.float32)


def similarity_transform(source: NDArray[np.floating], target: NDArray[np.floating]) -> NDArray[np.float64]:
    """The rotation, uniform scale and shift that bring `source` closest to `target` in least squares.

    source, target: [K, 2], K >= 2. Returns float64 [2, 3] from source to target. It never reflects: in the
    plane the rotations are the unit complex numbers, and the optimum of Umeyama (IEEE PAMI 13:4, 1991)
    with its determinant constrained to +1 is the complex quotient below.

    Raises ValueError if the source points coincide.
    """
    a, b = complex_points(source), complex_points(target)
    a_mean, b_mean = a.mean(), b.mean()
    a = a - a_mean
    spread = float(np.vdot(a, a).real)
    if not spread > 1e-12:
        raise ValueError("The alignment points coincide or are not finite; they define no transform.")
    # The mean of b falls out: the deviations of a sum to 0.
    turn = complex(np.vdot(a, b)) / spread
    shift = b_mean - turn * a_mean
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def transform_points(points: NDArray[np.floating], matrix: NDArray[np.floating]) -> NDArray[np.float32]:
    """Map points through an affine matrix. points: [..., 2]. matrix: [2, 3]. Returns float32 [..., 2]."""
    mapped = points.astype(np.float64) @ matrix[:, :2].T.astype(np.float64) + matrix[:, 2]
    return np.asarray(mapped, np.float32)


def warp_scale(matrix: NDArray[np.floating]) -> float:
    """Crop pixels per image pixel, the square root of the matrix's determinant; below 1 it shrinks."""
    return math.sqrt(abs(float(matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0])))


def warp(image: Image, matrix: NDArray[np.floating], size: int) -> Image:
    """Cut the square that `matrix` maps to [0, size) squared; what lies outside the image is black.

    image: uint8 [H, W, 3]. matrix: [2, 3], image to crop. Returns uint8 [size, size, 3]. Only the pixels
    under the crop are touched. Where it shrinks by more than 2 they are first averaged in blocks: bilinear
    sampling reads 2x2 pixels and would skip some.
    """
    to_crop = np.asarray(matrix, np.float64)
    back = np.asarray(cv2.invertAffineTransform(to_crop), np.float64)
    centre = back @ ((size - 1) / 2, (size - 1) / 2, 1.0)
    reach = np.abs(back[:, :2]).sum(axis=1) * (size / 2)
    height, width = image.shape[:2]
    x1, y1 = (max(0, math.floor(v) - _MARGIN) for v in (centre - reach).tolist())
    x2, y2 = (math.ceil(v) + _MARGIN + 1 for v in (centre + reach).tolist())
    if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        return np.zeros((size, size, 3), np.uint8)
    block = max(1, math.floor(1.0 / warp_scale(to_crop)))
    x1, x2 = _whole_blocks(x1, x2, width, block)
    y1, y2 = _whole_blocks(y1, y2, height, block)
    region = image[y1:y2, x1:x2]
    reduced = _averaged(region, block)
    blocks = np.divide(region.shape[1::-1], reduced.shape[1::-1])
    # A pixel of the reduced region stands at the centre of the block it averages.
    offset = (x1, y1) + (blocks - 1.0) / 2.0
    linear = to_crop[:, :2]
    warped = cv2.warpAffine(
        reduced,
        np.column_stack([linear * blocks, linear @ offset + to_crop[:, 2]]),
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(0, 0, 0),
    )
    return np.asarray(warped, np.uint8)


def landmark_box(landmarks: NDArray[np.float32], grow: float = 0.2) -> Box:
    """The bounding box of a face's landmarks, its width and height grown by `grow`, half on either side.

    landmarks: float32 [68, 2]. This is face-api's alignment before its age, gender and expression nets
    (`FaceLandmarks.align`, `minBoxPadding` 0.2; `Box.pad` moves each edge by half the padding), so the nets
    see faces as large as those they were trained on.
    """
    x1, y1 = (float(v) for v in landmarks.min(axis=0))
    x2, y2 = (float(v) for v in landmarks.max(axis=0))
    dx, dy = (x2 - x1) * grow / 2, (y2 - y1) * grow / 2
    return Box(x1 - dx, y1 - dy, x2 + dx, y2 + dy)


def square_crop(image: Image, box: Box, size: int) -> tuple[Image, NDArray[np.float32]]:
    """Cut a box, made square around its centre to its longer side, and resize it.

    image: uint8 [H, W, 3]. box: pixels; it may reach outside the image, where the crop is black. The square
    is rounded to whole pixels, and up by less than a crop pixel where it shrinks by 2 or more. Returns uint8
    [size, size, 3] and the float32 [2, 3] matrix from image to crop. Area interpolation when it shrinks,
    bilinear when it grows.
    """
    side = reducible_side(max(1, round(max(box.width, box.height))), size)
    left = round((box.x1 + box.x2 - side) / 2)
    top = round((box.y1 + box.y2 - side) / 2)
    scale = size / side
    # The square spans left - 0.5 to left + side - 0.5, which is to become -0.5 to size - 0.5.
    offset = (scale - 1.0) / 2.0
    matrix = np.array([(scale, 0, offset - left * scale), (0, scale, offset - top * scale)], np.float32)

    height, width = image.shape[:2]
    x1, y1, x2, y2 = max(0, left), max(0, top), min(width, left + side), min(height, top + side)
    if x1 >= x2 or y1 >= y2:
        return np.zeros((size, size, 3), np.uint8), matrix
    square = image[y1:y2, x1:x2]
    if square.shape[:2] != (side, side):
        square = np.zeros((side, side, 3), np.uint8)
        square[y1 - top : y2 - top, x1 - left : x2 - left] = image[y1:y2, x1:x2]
    return resize_square(square, size), matrix


def reducible_side(side: int, size: int) -> int:
    """A side in pixels, rounded up to a multiple of how often `size` fits into it.

    A square of such a side can be brought close to `size` by averaging whole blocks, which OpenCV does
    several times faster than blocks of a fractional size.
    """
    block = max(1, side // size)
    return -(-side // block) * block


def resize_square(square: Image, size: int) -> Image:
    """Bring a square whose side is a `reducible_side` to size x size pixels: by averaging where it shrinks,
    bilinear where it grows."""
    kernel = cv2.INTER_AREA if len(square) > size else cv2.INTER_LINEAR
    return _resize(_averaged(square, max(1, len(square) // size)), size, size, kernel)


def _averaged(image: Image, block: int) -> Image:
    """The image with blocks of block x block pixels averaged. If they do not fill it, they become a little
    larger or smaller."""
    while block > 1:
        # OpenCV averages 2 x 2 pixels several times faster than more.
        step = 2 if block % 2 == 0 else block
        width, height = (max(1, round(side / step)) for side in image.shape[1::-1])
        image = _resize(image, width, height, cv2.INTER_AREA)
        block //= step
    return image


def _whole_blocks(start: int, stop: int, length: int, block: int) -> tuple[int, int]:
    """Grow a range within 0..length to a multiple of `block`, which averages several times faster; where
    there is no room for that, it is only clipped."""
    needed = -(-(stop - start) // block) * block
    stop = min(length, start + needed)
    return max(0, stop - needed), stop


def _resize(image: Image, width: int, height: int, interpolation: int) -> Image:
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)
