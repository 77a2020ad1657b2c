"""Which way up a face is.

Some detectors, YuNet among them, find a face upside down as well, with a high score and with keypoints that
claim an upright face. Landmarks and embedding of such a face are a stranger's. But the score is highest when
the face is upright, so each doubtful face is looked at again, closely and in eight orientations. What is not
a face is found in none of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from deployments.faces.views import SeenFace, View, around, between, moved, quarter_turned, seen_faces, take
from deployments.packs.nets import Candidates, DetectNet

ANGLES: Final = tuple(range(0, 360, 45))
"""Degrees by which a face is turned for a look. The nearest one leaves a roll of 22.5 degrees at most, and
the open landmarks tolerate 40."""

LOOK_SIDE: Final = 128
LOOK_SPAN: Final = 2.0
"""Side of a look in pixels, and in long sides of the face's box. Of 752 doubtful views of faces, all were
turned to within 45 degrees of upright and 99 % to within 30. Looks of 96 pixels also confirm a headlamp."""

SQRT_2: Final = math.sqrt(2)
"""Side of a square that contains a square of side 1 at any angle."""

CONFIRMED: Final = 0.8
"""Best score that a face must reach in its looks. Of the test photos' faces, down to 10 pixels of width,
every one reached .86; what was not a face reached .76 at most."""

CENTRED: Final = 0.2
"""How far from the middle of a look, as a share of its side, the box of the same face may lie."""

SURROUNDINGS: Final = 3.0
"""Side of the part cut out of a photo around a face, in long sides of its box. The widest crop, that for the
face's attributes, is half as wide, so it lies inside the part even if that is turned."""


def stand_upright(
    net: DetectNet,
    view: View,
    candidates: Candidates,
    upright_score: float | None,
    most: int,
    *,
    largest: int | None = None,
) -> list[SeenFace]:
    """Each face in a view in which it is upright, with its score there, in the order given.

    Candidates that reach `upright_score` stay as they are, and all do where it is None. The others, at most
    the `most` largest, are looked at again: first as they are, then turned. A face that no look confirms is
    left out. So are the others that are smaller than `largest` of those that stay; None looks at them, too.
    """
    if upright_score is None:
        return seen_faces(view, candidates)
    areas = (candidates.boxes[:, 2:] - candidates.boxes[:, :2]).prod(axis=1)
    certain = candidates.scores >= upright_score
    if largest is not None and certain.sum() >= largest:
        wanted = np.flatnonzero(certain | (areas > np.sort(areas[certain])[-largest]))
        candidates, areas = take(candidates, wanted), areas[wanted]
    faces = seen_faces(view, candidates)
    by_size = np.argsort(-areas, kind="stable")
    doubtful = [int(index) for index in by_size if candidates.scores[index] < upright_score][:most]
    if not doubtful:
        return faces
    close = [_close(faces[index]) for index in doubtful]
    standing: list[SeenFace | None] = [*faces]
    looks = _look(net, [(face, 0) for face in close])
    for index, face, look in zip(doubtful, close, looks, strict=True):
        if _score(look) < upright_score:
            turned = [look, *_look(net, [(face, angle) for angle in ANGLES[1:]])]
            standing[index] = _best(faces[index], turned)
    return [face for face in standing if face is not None]


def _close(face: SeenFace) -> SeenFace:
    """The part of the photo around a face, reduced once to the scale of the looks."""
    wide = around(face.view, face.candidate.boxes[0], LOOK_SPAN * SQRT_2, 0, math.ceil(LOOK_SIDE * SQRT_2))
    return replace(face, view=wide, candidate=moved(face.candidate, between(face.view, wide)))


def _best(face: SeenFace, looks: Sequence[SeenFace | None]) -> SeenFace | None:
    """The face in the best of its looks at ANGLES, or None if no look confirms it."""
    best = int(np.argmax([_score(look) for look in looks]))
    look = looks[best]
    if look is None or _score(look) < CONFIRMED:
        return None
    if best == 0:
        return face
    upright = around(face.view, face.candidate.boxes[0], SURROUNDINGS, ANGLES[best])
    return replace(face, view=upright, candidate=moved(look.candidate, between(look.view, upright)))


def _look(net: DetectNet, turns: Sequence[tuple[SeenFace, int]]) -> list[SeenFace | None]:
    """Each face seen closely, turned by these degrees; None if no face is found in the middle of the look."""
    looks = _looks(turns)
    found = net.detect([look.image for look in looks])
    return [
        next((face for face in seen_faces(look, candidates) if _is_centred(face)), None)
        for look, candidates in zip(looks, found, strict=True)
    ]


def _looks(turns: Sequence[tuple[SeenFace, int]]) -> list[View]:
    """The views of these looks. Only those within the first quarter are cut out; the others are those again,
    turned by whole quarters."""
    cut: dict[tuple[int, int], View] = {}
    views = []
    for face, angle in turns:
        quarters, rest = divmod(angle, 90)
        key = id(face), rest
        if key not in cut:
            cut[key] = around(face.view, face.candidate.boxes[0], LOOK_SPAN, rest, LOOK_SIDE)
        views.append(quarter_turned(cut[key], quarters))
    return views


def _is_centred(face: SeenFace) -> bool:
    box = face.candidate.boxes[0]
    offset = (box[:2] + box[2:]) / 2 - (LOOK_SIDE - 1) / 2
    return bool(np.abs(offset).max() <= CENTRED * LOOK_SIDE)


def _score(face: SeenFace | None) -> float:
    return 0.0 if face is None else float(face.candidate.scores[0])
