"""Matches, users' reactions to them, and celebrity matches."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from db.matches import Factors, Match, MatchStats, Person, SavedCelebrityMatch
from db.pages import CountedPage
from db.profiles import StatedGender
from db.reactions import Reaction, ReactionType
from deployments.packs.calibration import SimilarityScale
from matching.scoring import percentage
from semblance.types import Gender
from serve_app.links import Links
from serve_app.schemas.base import FeedUrl, Schema, Score, ThumbnailUrl, Values
from serve_app.schemas.rarity import Rarity


class MatchPerson(Schema):
    id: UUID
    name: str | None = Field(examples=["Ada"])
    gender: StatedGender | None
    school: str | None = Field(examples=["mit"])
    face_id: UUID = Field(description="The matched face.")
    image: str = Field(description="Picture of that face. Signed URL that expires.")
    feed_url: FeedUrl
    thumbnail_url: ThumbnailUrl
    online: bool | None = Field(
        description="Whether they are online and show it; null when signed out, in events, and while one "
        "user has blocked the other."
    )
    last_seen: datetime | None = Field(
        description="Null like `online`, if they were never seen, and while they hide it."
    )

    @classmethod
    def of(cls, person: Person, links: Links) -> MatchPerson:
        return cls(**_person(person, links))


class MatchPair(Schema):
    a: MatchPerson
    b: MatchPerson


class FactorScores(Schema):
    """The parts of the score; 1 means alike."""

    embedding: Score
    geometry: Score
    age: Score
    symmetry: Score
    skin_tone: Score
    expression: Score

    @classmethod
    def of(cls, factors: Factors | None) -> FactorScores | None:
        return None if factors is None else cls.model_validate(factors, from_attributes=True)


class MatchSummary(Schema):
    id: UUID
    similarity_score: Score = Field(examples=[0.875])
    similarity_percentage: int = Field(
        ge=0, le=100, description="The score as a whole percentage, half rounded up.", examples=[88]
    )
    created_at: datetime
    rarity: Rarity | None = Field(
        description="Of the similarity of the two faces. Null if that is not stored, if the match was found "
        "with another pack than the one in use, or if that has no calibration."
    )
    my_reaction: list[ReactionType] = Field(description="The caller's; empty when signed out.")
    users: MatchPair

    @classmethod
    def of(cls, match: Match, links: Links, scale: SimilarityScale) -> MatchSummary:
        return cls.model_validate(_summary(match, links, scale))


class MatchesAnswer(Schema):
    matches: list[MatchSummary] = Field(description="In the order of `sort`.")
    total: int = Field(ge=0, description="Number of matches that pass the filter.", examples=[1])
    next_cursor: str | None = Field(description="The `cursor` of the next page; null at the end.")

    @staticmethod
    def values(
        page: CountedPage[Match, Any], next_cursor: str | None, links: Links, scale: SimilarityScale
    ) -> Values:
        return Values(
            matches=[_summary(match, links, scale) for match in page.items],
            total=page.total,
            next_cursor=next_cursor,
        )


class StatsAnswer(Schema):
    total: int = Field(ge=0, description="All matches.")
    viewed: int | None = Field(
        ge=0, description="Number of matches that the user has viewed; null when signed out."
    )
    activeUsers: int = Field(  # noqa: N815 - the contract's spelling
        ge=0, description="Users who are connected, or were seen in the last 15 minutes."
    )

    @classmethod
    def of(cls, stats: MatchStats) -> StatsAnswer:
        return cls(total=stats.total, viewed=stats.viewed, activeUsers=stats.active_users)


class OwnMatch(MatchSummary):
    """A match, as one of its users sees it."""

    factors: FactorScores | None = Field(description="Null for adopted matches.")
    user: MatchPerson = Field(description="The other user.")

    @classmethod
    def seen(cls, match: Match, other: Person, links: Links, scale: SimilarityScale) -> OwnMatch:
        summary = _summary(match, links, scale)
        user = summary["users"]["a" if other is match.a else "b"]
        return cls(**summary, factors=FactorScores.of(match.factors), user=user)


class OwnMatchesAnswer(Schema):
    matches: list[OwnMatch]
    total: int = Field(ge=0, description="Length of the whole list.", examples=[1])
    next_cursor: str | None = Field(description="The `cursor` of the next page; null at the end.")


class CelebritySummary(Schema):
    id: UUID
    name: str = Field(examples=["Rose Leslie"])
    bio: str | None
    category: str | None = Field(examples=["actors"])
    gender: Gender | None = Field(description="As stated, otherwise as estimated from the picture.")
    image: str = Field(description="Signed URL that expires.")
    feed_url: FeedUrl
    thumbnail_url: ThumbnailUrl


class CelebrityMatchSummary(Schema):
    id: UUID
    celebrity: CelebritySummary
    similarity_score: Score = Field(examples=[0.875])
    similarity_percentage: int = Field(
        ge=0, le=100, description="The score as a whole percentage, half rounded up.", examples=[88]
    )
    factors: FactorScores | None = Field(description="Null for adopted matches.")
    rarity: Rarity | None = Field(
        description="Of the similarity of the two faces. Null if that is not stored, if the match was found "
        "with another pack than the one in use, or if that has no calibration."
    )

    @classmethod
    def of(cls, match: SavedCelebrityMatch, links: Links, scale: SimilarityScale) -> CelebrityMatchSummary:
        urls = links.renditions(match.image_path, "celebrities")
        return cls(
            id=match.id,
            celebrity=CelebritySummary(
                id=match.celebrity_id,
                name=match.name,
                bio=match.bio,
                category=match.category,
                gender=match.gender,
                image=urls.full,
                feed_url=urls.feed,
                thumbnail_url=urls.thumbnail,
            ),
            similarity_score=match.similarity_score,
            similarity_percentage=percentage(match.similarity_score),
            factors=FactorScores.of(match.factors),
            rarity=Rarity.of(scale, _cosine(match.factors), match.pack_digest),
        )


def _summary(match: Match, links: Links, scale: SimilarityScale) -> dict[str, Any]:
    """The values of a MatchSummary."""
    return {
        "id": match.id,
        "similarity_score": match.similarity_score,
        "similarity_percentage": percentage(match.similarity_score),
        "created_at": match.created_at,
        "rarity": Rarity.values(scale, _cosine(match.factors), match.pack_digest),
        "my_reaction": match.my_reaction,
        "users": _pair(match, links),
    }


def _pair(match: Match, links: Links) -> dict[str, Any]:
    return {"a": _person(match.a, links), "b": _person(match.b, links)}


def _person(person: Person, links: Links) -> dict[str, Any]:
    urls = links.renditions(person.image_path, "faces")
    return {
        "id": person.id,
        "name": person.name,
        "gender": person.gender,
        "school": person.school,
        "face_id": person.face_id,
        "image": urls.full,
        "feed_url": urls.feed,
        "thumbnail_url": urls.thumbnail,
        "online": person.online,
        "last_seen": person.last_seen,
    }


def _cosine(factors: Factors | None) -> float | None:
    """Of the two embeddings, which is the embedding factor."""
    return None if factors is None else factors.embedding


class CelebrityMatchesAnswer(Schema):
    matches: list[CelebrityMatchSummary] = Field(description="Best first.")
    total: int = Field(ge=0, description="Length of the whole list.", examples=[1])
    next_cursor: str | None = Field(description="The `cursor` of the next page; null at the end.")


class NewReaction(Schema):
    reaction_type: ReactionType


class ReactionSummary(Schema):
    id: UUID
    reaction_type: ReactionType
    created_at: datetime


class ReactionAnswer(ReactionSummary):
    match_id: UUID
    mutual_connection: UUID | None = Field(
        description="The connection that this reaction has opened; null if it has opened none."
    )


class ReactionsAnswer(Schema):
    reactions: list[ReactionSummary] = Field(description="The user's reactions, oldest first.")
    reaction_types: list[ReactionType] = Field(description="Their types.", examples=[["like", "viewed"]])

    @classmethod
    def of(cls, reactions: list[Reaction]) -> ReactionsAnswer:
        return cls(
            reactions=[
                ReactionSummary.model_validate(reaction, from_attributes=True) for reaction in reactions
            ],
            reaction_types=[reaction.reaction_type for reaction in reactions],
        )
