"""Matched users with real photos, for the tests of baby pictures."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from uuid import UUID

import httpx
from PIL import Image

from deployments.faces.pipeline import LocalPipeline
from semblance.settings import Settings
from tests.support.api import Api, User
from tests.support.photos import ASTRONAUT, OBAMA_2, encoded


@dataclass(frozen=True, slots=True)
class Parents:
    """Two users and the match of their faces."""

    ada: User
    bea: User
    ada_face: UUID
    bea_face: UUID
    match: UUID


async def add_face(api: Api, user: User, photo: Path = OBAMA_2) -> UUID:
    """A stored photo with its row."""
    data, landmarks = _reduced(photo)
    face = uuid.uuid4()
    key = f"faces/{user.id}/{face}.jpg"
    await api.services.storage.put(key, data, "image/jpeg")
    await api.services.database.execute(
        "INSERT INTO faces (id, profile_id, image_path, landmarks_68) VALUES ($1, $2, $3, $4)",
        face, user.id, key, landmarks,
    )  # fmt: skip
    return face


async def add_match(api: Api, face: UUID, other: UUID) -> UUID:
    """A match of two faces; returns its id."""
    match = uuid.uuid4()
    await api.services.database.execute(
        "INSERT INTO matches (id, face_a_id, face_b_id, similarity_score) VALUES ($1, $2, $3, 0.8)",
        match, min(face, other), max(face, other),
    )  # fmt: skip
    return match


async def add_pair(api: Api) -> Parents:
    """Two new users who match."""
    ada, bea = await api.member("Ada"), await api.member("Bea")
    ada_face, bea_face = await add_face(api, ada), await add_face(api, bea, ASTRONAUT)
    return Parents(ada, bea, ada_face, bea_face, await add_match(api, ada_face, bea_face))


async def make_baby(api: Api, user: User, match: UUID, key: str | None = None) -> httpx.Response:
    """POST /api/baby."""
    headers = user.headers if key is None else {**user.headers, "Idempotency-Key": key}
    return await api.client.post("/api/baby", json={"match_id": str(match)}, headers=headers)


@lru_cache
def _reduced(photo: Path) -> tuple[bytes, list[list[float]]]:
    with Image.open(photo) as image:
        image.thumbnail((500, 500))
        data = encoded(image.convert("RGB"))
    landmarks = LocalPipeline(Settings()).finder.detect(data, 1).faces[0].landmarks
    return data, landmarks.round(2).tolist()
