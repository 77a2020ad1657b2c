"""How the generation of pictures and texts is doing."""

from __future__ import annotations

from datetime import date

from pydantic import Field

from db.generation_logs import GenerationDay, GenerationKind
from serve_app.schemas.base import Schema, Score


class GenerationDaySummary(Schema):
    """Calls of one model of one provider for one kind that began on one day (UTC)."""

    day: date
    kind: GenerationKind = Field(description="A baby picture, or what a text is for.")
    provider: str = Field(examples=["fal"])
    model: str = Field(examples=["fal-ai/flux/dev"])
    completed: int = Field(ge=0)
    failed: int = Field(ge=0)
    processing: int = Field(ge=0, description="Not finished yet.")
    tokens_in: int = Field(ge=0, description="Tokens that texts were made from.")
    tokens_out: int = Field(ge=0, description="Tokens of the texts.")
    success_rate: Score | None = Field(
        description="Completed calls divided by finished ones; null if none has finished.", examples=[0.98]
    )
    duration_p50_ms: float | None = Field(
        ge=0, description="Median of the completed calls, in milliseconds; null if there are none."
    )
    duration_p95_ms: float | None = Field(ge=0, description="Their 95th percentile.")

    @classmethod
    def of(cls, calls: GenerationDay) -> GenerationDaySummary:
        ended = calls.completed + calls.failed
        return cls(
            day=calls.day,
            kind=calls.kind,
            provider=calls.provider,
            model=calls.model,
            completed=calls.completed,
            failed=calls.failed,
            processing=calls.processing,
            tokens_in=calls.tokens_in,
            tokens_out=calls.tokens_out,
            success_rate=calls.completed / ended if ended else None,
            duration_p50_ms=calls.duration_p50_ms,
            duration_p95_ms=calls.duration_p95_ms,
        )


class GenerationsAnswer(Schema):
    generations: list[GenerationDaySummary] = Field(
        description="Latest day first; days without calls are left out."
    )
