"""Baby pictures of matches."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from pydantic import Field

from db.babies import Baby
from db.connections import ConnectionStatus
from serve_app.links import Links
from serve_app.schemas.base import FeedUrl, Schema, ThumbnailUrl
from serve_app.schemas.matches import MatchPair, MatchPerson


class NewBabyRequest(Schema):
    match_id: UUID = Field(description="One of the user's matches.")


class BabyConnectionSummary(Schema):
    id: UUID
    status: ConnectionStatus
    created_at: datetime


class BabyAnswer(Schema):
    id: UUID
    match_id: UUID
    image_url: str = Field(description="A JPEG. Signed URL that expires.")
    feed_url: FeedUrl
    thumbnail_url: ThumbnailUrl
    created_at: datetime
    parents: MatchPair
    mutual_connection: BabyConnectionSummary | None = Field(
        description="The connection of the two users, including one that this baby has just opened; null if "
        "they are not connected."
    )

    @classmethod
    def of(cls, baby: Baby, links: Links) -> BabyAnswer:
        urls = links.renditions(baby.image_path, "babies")
        return cls(
            id=baby.id,
            match_id=baby.match_id,
            image_url=urls.full,
            feed_url=urls.feed,
            thumbnail_url=urls.thumbnail,
            created_at=baby.created_at,
            parents=MatchPair(a=MatchPerson.of(baby.a, links), b=MatchPerson.of(baby.b, links)),
            mutual_connection=None
            if baby.connection is None
            else BabyConnectionSummary(**asdict(baby.connection)),
        )


class LatestBabyAnswer(Schema):
    baby: BabyAnswer | None = Field(description="Null if the match has none.")


class BabiesAnswer(Schema):
    babies: list[BabyAnswer] = Field(description="Newest first.")
    total: int = Field(ge=0, description="Length of the whole list.", examples=[1])
    next_cursor: str | None = Field(description="The `cursor` of the next page; null at the end.")
