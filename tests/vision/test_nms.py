from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from deployments.vision.nms import iou_matrix, nms


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 0, 10, 10), (0, 0, 10, 10), 1.0),
        ((0, 0, 10, 10), (10, 0, 20, 10), 0.0),
        ((0, 0, 10, 10), (30, 30, 40, 40), 0.0),
        ((0, 0, 10, 10), (5, 0, 15, 10), 1 / 3),
        ((0, 0, 10, 10), (2, 2, 7, 7), 0.25),
        ((-5, -5, 5, 5), (0, 0, 10, 10), 25 / 175),
        ((3, 3, 3, 3), (3, 3, 3, 3), 0.0),
        ((0, 0, 10, 10), (4, 4, 4, 9), 0.0),
    ],
)
def test_iou(a: tuple[float, ...], b: tuple[float, ...], expected: float) -> None:
    first, second = np.array([a], np.float32), np.array([b], np.float32)
    assert iou_matrix(first, second)[0, 0] == pytest.approx(expected)
    assert iou_matrix(second, first)[0, 0] == pytest.approx(expected)


def test_iou_of_nothing() -> None:
    assert iou_matrix(np.zeros((0, 4), np.float32), np.zeros((3, 4), np.float32)).shape == (0, 3)


def test_nms_keeps_the_best_of_each_group_best_first() -> None:
    boxes = np.array([(0, 0, 10, 10), (50, 50, 60, 60), (1, 0, 11, 10), (51, 50, 61, 60)], np.float32)
    kept = nms(boxes, np.array([0.6, 0.7, 0.9, 0.65], np.float32), 0.5)
    assert kept.tolist() == [2, 1]


def test_nms_suppresses_only_what_a_kept_box_overlaps() -> None:
    """A chain: the middle box falls to the first, so the last, which overlaps only the middle, stays."""
    boxes = np.array([(0, 0, 10, 10), (3, 0, 13, 10), (6, 0, 16, 10)], np.float32)
    assert nms(boxes, np.array([0.9, 0.8, 0.7], np.float32), 0.5).tolist() == [0, 2]


def test_nms_of_nothing() -> None:
    assert nms(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), 0.5).tolist() == []


def _boxes() -> st.SearchStrategy[NDArray[np.float32]]:
    coordinates = st.floats(0, 100, width=32)
    raw = hnp.arrays(np.float32, st.tuples(st.integers(0, 25), st.just(4)), elements=coordinates)
    return raw.map(lambda b: np.concatenate([np.minimum(b[:, :2], b[:, 2:]), b[:, 2:] + 1], axis=1))


@given(_boxes(), st.floats(0, 1))
def test_nms_properties(boxes: NDArray[np.float32], iou: float) -> None:
    scores = np.random.default_rng(len(boxes)).random(len(boxes)).astype(np.float32)
    kept = nms(boxes, scores, iou)
    dropped = np.setdiff1d(np.arange(len(boxes)), kept)
    assert (np.diff(scores[kept]) <= 0).all()
    among_kept = iou_matrix(boxes[kept], boxes[kept])
    assert (among_kept[~np.eye(len(kept), dtype=bool)] <= iou).all()
    for index in dropped:
        better = kept[scores[kept] >= scores[index]]
        assert iou_matrix(boxes[index : index + 1], boxes[better]).max() > iou
    order = np.random.default_rng(1).permutation(len(boxes))
    assert order[nms(boxes[order], scores[order], iou)].tolist() == kept.tolist()
