"""Checks a page of points: whose embedding each is, whether it is valid, and which could become a face."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import numpy as np

from db.face_embeddings import NewFace
from semblance.types import EMBEDDING_SIZE, Embedding

NORM_TOLERANCE = 0.02
"""How far the length of a vector may be from 1. Qdrant normalises the vectors of a cosine collection to
float32 precision, so a vector further away is not just an embedding."""

_NAMESPACE = UUID("6f1c1f52-3a3e-5d0b-9b56-0f6c1c1a7d21")
"""Ids of new faces whose points have no UUID are the UUIDv5 of collection and point in it, the same in each
run."""


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a collection: its id, its payload, and its vector or vectors as the client gives them."""

    id: str
    payload: Mapping[str, Any]
    vector: Any


@dataclass(frozen=True, slots=True)
class PayloadFields:
    """Names of the fields in the payloads. hash and time are optional."""

    face: str = "face_id"
    profile: str = "profile_id"
    path: str = "image_path"
    hash: str = "image_hash"
    time: str = "created_at"


FIELDS = PayloadFields()

_HASH = re.compile(r"[0-9a-f]{32}")


@dataclass(slots=True)
class CheckedPage:
    """A page of points, sorted out.

    embeddings: unit vectors by face. new: faces that could be made of them; lacking: for the others, what
    their payloads lack for that. names: ids of the points by face, where the face's id was made from the
    point's. refused: pairs of a point's id and the reason.
    """

    embeddings: dict[UUID, Embedding] = field(default_factory=dict)
    new: dict[UUID, NewFace] = field(default_factory=dict)
    lacking: dict[UUID, str] = field(default_factory=dict)
    names: dict[UUID, str] = field(default_factory=dict)
    refused: list[tuple[str, str]] = field(default_factory=list)


def check_points(
    page: Sequence[Point], links: Mapping[str, UUID], collection: str, fields: PayloadFields
) -> CheckedPage:
    """Sort out a page.

    Args:
        links: The face of each point that a row of the database names.
        collection: Its name, for the ids of faces.
    """
    checked = CheckedPage()
    for point in page:
        new = _new_face(point.payload, fields)
        face_id = links.get(point.id) or _uuid(point.payload.get(fields.face, point.id))
        if face_id is None and isinstance(new, NewFace):
            face_id = uuid5(_NAMESPACE, f"{collection}/{point.id}")
            checked.names[face_id] = point.id
        vector = _vector(point)
        if face_id is None:
            checked.refused.append((point.id, f"no {fields.face}; {new}"))
        elif face_id in checked.embeddings:
            checked.refused.append((point.id, "a second point of the face"))
        elif isinstance(vector, str):
            checked.refused.append((point.id, vector))
        else:
            checked.embeddings[face_id] = vector
            if isinstance(new, NewFace):
                checked.new[face_id] = new
            else:
                checked.lacking[face_id] = new
    return checked


def _new_face(payload: Mapping[str, Any], fields: PayloadFields) -> NewFace | str:
    """The face that can be made from the payload, or what it lacks for that."""
    profile_id, path = _uuid(payload.get(fields.profile)), payload.get(fields.path)
    has_path = isinstance(path, str) and bool(path.strip()) and path.isprintable()
    lacking = [
        name for name, is_there in ((fields.profile, profile_id), (fields.path, has_path)) if not is_there
    ]
    if profile_id is None or not isinstance(path, str) or lacking:
        return f"the payload has no {' and no '.join(lacking)}"
    image_hash = payload.get(fields.hash)
    if not isinstance(image_hash, str) or not _HASH.fullmatch(image_hash):
        image_hash = None
    return NewFace(profile_id, path.strip(), image_hash, _time(payload.get(fields.time)))


def _time(value: object) -> datetime | None:
    """A time in ISO 8601, or in seconds since 1970; UTC unless it has an offset. None for anything else."""
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        found = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


def _vector(point: Point) -> Embedding | str:
    """The vector at unit length, or why it is invalid."""
    given = point.vector
    if isinstance(given, dict):
        given = next(iter(given.values())) if len(given) == 1 else None
    try:
        vector = np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError):
        return "no single vector"
    if vector.shape != (EMBEDDING_SIZE,):
        return f"not {EMBEDDING_SIZE} numbers"
    norm = float(np.linalg.norm(vector))
    if not abs(norm - 1) <= NORM_TOLERANCE:
        return "not of unit length"
    return np.asarray(vector / norm, np.float32)
