"""The dominant colour of a face's skin."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.vision.landmarks import JAW, LEFT_BROW, LEFT_EYE, OUTER_LIPS, RIGHT_BROW, RIGHT_EYE
from semblance.types import Image, SkinTone

_SAMPLES: Final = 600
"""Pixels sampled per face. More change the result by less than one CIELAB unit."""

_ENOUGH: Final = 60
"""With fewer skin pixels, the landmarks are off or the face lies outside the image."""

_CLUSTERS: Final = 3
"""Lit skin, shaded skin, and what is not skin: beard, glasses, highlights, hair over the forehead."""

_CRITERIA: Final = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 20, 0.1)


def skin_tone(portraits: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> list[SkinTone]:
    """Dominant skin colours of faces.

    portraits: uint8 RGB [N, 112, 112, 3]. landmarks: float32 [N, 68, 2], portrait pixels. Returns N tones in
    CIELAB (D65): the mean of the largest of three k-means clusters of the pixels inside the hull of jaw and
    brows, without eyes, brows and mouth and without the black that pads portraits at a photo's edge. It is
    the colour in the photo, with the photo's light in it.

    The same input always gives the same result: the clusters start from thirds by lightness, not from random
    draws. Where fewer than 60 pixels of skin remain, the middle of the portrait stands in for the hull.
    """
    return [_tone(portrait, points) for portrait, points in zip(portraits, landmarks, strict=True)]


def _tone(portrait: Image, landmarks: NDArray[np.float32]) -> SkinTone:
    inside = np.flatnonzero(_skin_mask(landmarks, portrait.shape[0]))
    pixels = _visible(portrait.reshape(-1, 3).take(inside, axis=0))
    if len(pixels) < _ENOUGH:
        quarter = portrait.shape[0] // 4
        pixels = _visible(portrait[quarter:-quarter, quarter:-quarter].reshape(-1, 3))
    if len(pixels) == 0:
        pixels = portrait.reshape(-1, 3)
    # Evenly spread in reading order, so over the whole face.
    pixels = pixels[np.linspace(0, len(pixels) - 1, min(_SAMPLES, len(pixels))).astype(np.intp)]
    lab = cv2.cvtColor(pixels[None].astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)[0]
    dominant = _largest_cluster(np.asarray(lab, np.float32))
    rgb = cv2.cvtColor(dominant[None, None], cv2.COLOR_LAB2RGB)[0, 0]
    red, green, blue = (round(255 * min(1.0, max(0.0, float(v)))) for v in rgb)
    lightness, a, b = (float(v) for v in dominant)
    return SkinTone(lab=(lightness, a, b), hex=f"#{red:02x}{green:02x}{blue:02x}")


def _largest_cluster(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean colour of the largest k-means cluster. lab: float32 [M, 3], M >= 1. Returns float32 [3]."""
    if len(lab) < _CLUSTERS:
        return np.asarray(lab.mean(axis=0), np.float32)
    thirds = np.empty((len(lab), 1), np.int32)
    thirds[np.argsort(lab[:, 0], kind="stable"), 0] = np.arange(len(lab)) * _CLUSTERS // len(lab)
    # With given labels and a single attempt, OpenCV draws nothing from its global random state.
    _, labels, centres = cv2.kmeans(lab, _CLUSTERS, thirds, _CRITERIA, 1, cv2.KMEANS_USE_INITIAL_LABELS)
    largest = np.bincount(np.asarray(labels[:, 0], np.intp), minlength=_CLUSTERS).argmax()
    return np.asarray(centres[largest], np.float32)


def _skin_mask(landmarks: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
    points = np.rint(np.clip(np.nan_to_num(landmarks), -4 * size, 5 * size)).astype(np.int32)
    mask = np.zeros((size, size), np.uint8)
    outline = np.concatenate([points[JAW], points[LEFT_BROW], points[RIGHT_BROW]])
    cv2.fillConvexPoly(mask, cv2.convexHull(outline), 255)
    for part in (LEFT_EYE, RIGHT_EYE, OUTER_LIPS):
        hull = cv2.convexHull(points[part])
        cv2.fillConvexPoly(mask, hull, 0)
        # Lashes and the lips' rim lie just outside the points.
        cv2.polylines(mask, [hull], isClosed=True, color=0, thickness=5)
    for brow in (LEFT_BROW, RIGHT_BROW):
        cv2.polylines(mask, [points[brow]], isClosed=False, color=0, thickness=9)
    return mask


def _visible(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Without pure black, which is padding: a lit scene has noise."""
    lit = pixels[:, 0] | pixels[:, 1] | pixels[:, 2]
    return pixels.take(np.flatnonzero(lit), axis=0)
