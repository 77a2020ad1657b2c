"""Rescoring of stored matches, and the distribution of their scores."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from db.rescorings import BINS, RescoringRow, ScoreHistogram
from serve_app.schemas.base import Schema

Rows = Annotated[int, Field(ge=0)]


class RescoringAnswer(Schema):
    id: UUID
    started_by: str
    status: Literal["pending", "running", "completed", "failed"]
    total: int | None = Field(ge=0, description="Matches to be read; null before it begins.")
    done: Rows
    rescored: Rows = Field(description="Matches that got another score; known at the end.")
    removed: Rows = Field(description="Matches below the threshold that were removed.")
    error_message: str | None
    created_at: datetime
    completed_at: datetime | None

    @classmethod
    def of(cls, row: RescoringRow) -> RescoringAnswer:
        return cls.model_validate(row, from_attributes=True)


class LatestRescoring(Schema):
    rescoring: RescoringAnswer | None = Field(description="null if there was none.")


class ScoreCounts(Schema):
    counts: list[Rows] = Field(min_length=BINS, max_length=BINS)
    sampled: bool = Field(description="Whether the counts are estimated from a part of the rows.")

    @classmethod
    def of(cls, histogram: ScoreHistogram) -> ScoreCounts:
        return cls(counts=list(histogram.counts), sampled=histogram.sampled)


class ScoreHistogramAnswer(Schema):
    """Stored scores in equal bins of 0..1; the upper bound of a bin belongs to the next one, except 1."""

    user_matches: ScoreCounts
    celebrity_matches: ScoreCounts
