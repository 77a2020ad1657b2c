"""Answers of the search among users' faces."""

from __future__ import annotations

from typing import Self
from uuid import UUID

from pydantic import Field

from db.face_searches import FaceHit
from db.profiles import StatedGender
from deployments.packs.calibration import SimilarityScale
from serve_app.links import Links
from serve_app.schemas.base import FeedUrl, Schema, ThumbnailUrl
from serve_app.schemas.compute import FaceAnswer
from serve_app.schemas.rarity import Rarity


class FaceMatch(Schema):
    face_id: UUID
    profile_id: UUID
    name: str | None
    school: str | None
    gender: StatedGender | None = Field(description="As stated by the user.")
    similarity: float = Field(ge=-1, le=1, description="Cosine of the two embeddings.")
    rarity: Rarity | None = Field(description="Null if the pack has no calibration.")
    image_url: str = Field(description="Signed URL that expires.")
    feed_url: FeedUrl
    thumbnail_url: ThumbnailUrl

    @classmethod
    def of(cls, hit: FaceHit, links: Links, scale: SimilarityScale) -> Self:
        urls = links.renditions(hit.image_path, "faces")
        return cls(
            face_id=hit.face_id,
            profile_id=hit.profile_id,
            name=hit.name,
            school=hit.school,
            gender=hit.gender,
            similarity=round(min(1.0, max(-1.0, hit.similarity)), 4),
            rarity=Rarity.of(scale, hit.similarity, scale.digest),
            image_url=urls.full,
            feed_url=urls.feed,
            thumbnail_url=urls.thumbnail,
        )


class FaceSearchAnswer(Schema):
    face: FaceAnswer
    matches: list[FaceMatch] = Field(description="Most similar first.")
