"""What other rules of matching would change in the stored matches."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from matching.rescore import EXAMPLES, CelebrityMatchChange, ListChanges, ListedFace, MatchChange, Preview
from matching.scoring import BEST, percentage
from matching.store import MatchRules
from serve_app.links import Links
from serve_app.schemas.admin_settings import Share, WeightsBody
from serve_app.schemas.base import Schema, Score


class SettingsProposal(Schema):
    """Rules of matching to try."""

    weights: WeightsBody
    threshold: Share | None = Field(
        None,
        description="The lowest score of a match that is kept; null: the current setting.",
        examples=[0.5],
    )

    def rules(self, current: MatchRules) -> MatchRules:
        threshold = current.threshold if self.threshold is None else self.threshold
        return MatchRules(self.weights.weights(), threshold)


class MatchRulesBody(Schema):
    weights: WeightsBody
    threshold: Share

    @classmethod
    def of(cls, rules: MatchRules) -> MatchRulesBody:
        return cls(weights=WeightsBody(**rules.weights.as_dict()), threshold=rules.threshold)


Rank = Annotated[int, Field(ge=1, le=BEST, description="Place on the face's list.", examples=[3])]


class PreviewScore(Schema):
    similarity_score: Score = Field(examples=[0.875])
    similarity_percentage: int = Field(
        ge=0, le=100, description="The score as a whole percentage, half rounded up.", examples=[88]
    )

    @classmethod
    def of(cls, score: float) -> PreviewScore:
        return cls(similarity_score=score, similarity_percentage=percentage(score))


class PreviewFace(Schema):
    """A face whose list has the match, now or under the proposed rules."""

    face_id: UUID
    user_id: UUID
    name: str | None = Field(examples=["Ada"])
    picture_url: str = Field(description="The photo, with a long side of at most 256 pixels.")
    rank_before: Rank | None = Field(description="Place on the face's list; null if not on it.")
    rank_after: Rank | None = Field(description="Place on the face's list; null if not on it.")

    @classmethod
    def of(cls, face: ListedFace, links: Links) -> PreviewFace:
        return cls(
            face_id=face.face_id,
            user_id=face.user_id,
            name=face.name,
            picture_url=links.renditions(face.image_path, "faces").thumbnail,
            rank_before=face.rank_before,
            rank_after=face.rank_after,
        )


class PreviewMatch(Schema):
    """A match of two users that the rules would change."""

    id: UUID
    before: PreviewScore
    after: PreviewScore
    a: PreviewFace
    b: PreviewFace

    @classmethod
    def of(cls, change: MatchChange, links: Links) -> PreviewMatch:
        return cls(
            id=change.id,
            before=PreviewScore.of(change.score_before),
            after=PreviewScore.of(change.score_after),
            a=PreviewFace.of(change.a, links),
            b=PreviewFace.of(change.b, links),
        )


class PreviewCelebrity(Schema):
    id: UUID
    name: str = Field(examples=["Rose Leslie"])
    picture_url: str = Field(description="The photo, with a long side of at most 256 pixels.")


class PreviewCelebrityMatch(Schema):
    """A celebrity match that the rules would change."""

    id: UUID
    before: PreviewScore
    after: PreviewScore
    face: PreviewFace
    celebrity: PreviewCelebrity

    @classmethod
    def of(cls, change: CelebrityMatchChange, links: Links) -> PreviewCelebrityMatch:
        return cls(
            id=change.id,
            before=PreviewScore.of(change.score_before),
            after=PreviewScore.of(change.score_after),
            face=PreviewFace.of(change.face, links),
            celebrity=PreviewCelebrity(
                id=change.celebrity_id,
                name=change.celebrity_name,
                picture_url=links.renditions(change.celebrity_image_path, "celebrities").thumbnail,
            ),
        )


Count = Annotated[int, Field(ge=0, examples=[12])]


class PreviewCounts(Schema):
    before: Count = Field(description="Matches on a list now.")
    after: Count = Field(description="Matches on a list under the proposed rules.")
    appear: Count = Field(description="Matches on a list only under the proposed rules.")
    vanish: Count = Field(description="Matches on a list only now.")
    move: Count = Field(description="Matches on a list under both rules, at different places.")
    without_factors: Count = Field(
        description="Adopted matches, which have no factors to rescore and are on no list here."
    )


class PreviewMatches(PreviewCounts):
    vanish_in_use: Count = Field(
        description="Vanishing matches that stay stored, because of a like, a baby or a connection."
    )
    appearing: list[PreviewMatch] = Field(max_length=EXAMPLES, description="Examples, best first.")
    vanishing: list[PreviewMatch] = Field(max_length=EXAMPLES, description="Examples, best first.")
    moving: list[PreviewMatch] = Field(max_length=EXAMPLES, description="Examples, the largest moves first.")

    @classmethod
    def of(cls, changes: ListChanges[MatchChange], links: Links) -> PreviewMatches:
        return cls(
            **_counts(changes),
            vanish_in_use=changes.vanish_in_use,
            appearing=[PreviewMatch.of(change, links) for change in changes.appearing],
            vanishing=[PreviewMatch.of(change, links) for change in changes.vanishing],
            moving=[PreviewMatch.of(change, links) for change in changes.moving],
        )


class PreviewCelebrityMatches(PreviewCounts):
    appearing: list[PreviewCelebrityMatch] = Field(max_length=EXAMPLES, description="Examples, best first.")
    vanishing: list[PreviewCelebrityMatch] = Field(max_length=EXAMPLES, description="Examples, best first.")
    moving: list[PreviewCelebrityMatch] = Field(
        max_length=EXAMPLES, description="Examples, the largest moves first."
    )

    @classmethod
    def of(cls, changes: ListChanges[CelebrityMatchChange], links: Links) -> PreviewCelebrityMatches:
        return cls(
            **_counts(changes),
            appearing=[PreviewCelebrityMatch.of(change, links) for change in changes.appearing],
            vanishing=[PreviewCelebrityMatch.of(change, links) for change in changes.vanishing],
            moving=[PreviewCelebrityMatch.of(change, links) for change in changes.moving],
        )


def _counts(changes: ListChanges[Any]) -> dict[str, int]:
    return {name: getattr(changes, name) for name in PreviewCounts.model_fields}


UNKNOWN = (
    "Only stored matches are compared, and whether their users may still be matched (school, gender) is not "
    "checked. Matches that were never stored, because earlier rules did not find them, cannot appear here: "
    "once the rules are set, `python -m batch.rematch --dry-run` counts them."
)


class SettingsPreviewAnswer(Schema):
    """The stored matches under the current rules and under the proposed ones."""

    rules_before: MatchRulesBody
    rules_after: MatchRulesBody
    user_matches: PreviewMatches
    celebrity_matches: PreviewCelebrityMatches
    unknown: str = Field(description="What this comparison cannot know.", examples=[UNKNOWN])

    @classmethod
    def of(
        cls, before: MatchRules, after: MatchRules, preview: Preview, links: Links
    ) -> SettingsPreviewAnswer:
        return cls(
            rules_before=MatchRulesBody.of(before),
            rules_after=MatchRulesBody.of(after),
            user_matches=PreviewMatches.of(preview.users, links),
            celebrity_matches=PreviewCelebrityMatches.of(preview.celebrities, links),
            unknown=UNKNOWN,
        )
