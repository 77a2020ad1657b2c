"""Settings that admins can change while the application runs."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field, model_validator

from db.system_settings import SystemSettings
from semblance.weights import Weights
from serve_app.schemas.base import Schema

WEIGHTS_TOLERANCE = Decimal("0.001")

Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]

DailyLimit = Annotated[
    int,
    Field(
        strict=True,
        ge=-1,
        le=1_000_000,
        description="Per day (UTC); -1 for no limit, 0 for none.",
        examples=[20],
    ),
]


class WeightsBody(Schema):
    """Weights of the six factors of a match; their sum is 1 ± 0.001."""

    embedding: Share = Field(examples=[0.2])
    geometry: Share = Field(examples=[0.2])
    age: Share = Field(examples=[0.15])
    symmetry: Share = Field(examples=[0.15])
    skin_tone: Share = Field(examples=[0.15])
    expression: Share = Field(examples=[0.15])

    @model_validator(mode="after")
    def _together_one(self) -> Self:
        # As decimals, as the database adds them: at the edge of the tolerance both must agree.
        weights: dict[str, float] = self.model_dump()
        total = sum((Decimal(repr(float(weight))) for weight in weights.values()), Decimal(0))
        if abs(total - 1) > WEIGHTS_TOLERANCE:
            raise ValueError(f"the weights add up to {total}, not 1")
        return self

    def weights(self) -> Weights:
        return Weights(**self.model_dump())


class SettingsChange(Schema):
    """Fields that are left out or null stay as they are."""

    matching_weights: WeightsBody | None = None
    match_threshold: Share | None = Field(
        None, description="The lowest score of a match that is kept.", examples=[0.5]
    )
    allow_non_edu_emails: Annotated[bool, Field(strict=True)] | None = Field(
        None, description="Whether addresses that belong to no school may sign up.", examples=[False]
    )
    daily_photo_upload_limit: DailyLimit | None = None
    daily_baby_generation_limit: DailyLimit | None = None
    text_generation: Annotated[bool, Field(strict=True)] | None = Field(
        None, description="Whether texts are suggested to users who have switched it on.", examples=[False]
    )
    profile_search: Annotated[bool, Field(strict=True)] | None = Field(
        None,
        description="Whether people find others of their school by what these say about themselves.",
        examples=[False],
    )
    message_search: Annotated[bool, Field(strict=True)] | None = Field(
        None,
        description="Whether users who have switched it on find messages of their chats by what these mean. "
        "False removes all vectors of messages.",
        examples=[False],
    )

    def changes(self) -> dict[str, object]:
        """The settings to change, as `SystemSettingsTable.change` takes them."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return {
            name: value.weights() if isinstance(value, WeightsBody) else value
            for name, value in given.items()
            if value is not None
        }


class SettingsAnswer(Schema):
    matching_weights: WeightsBody
    match_threshold: Share
    allow_non_edu_emails: bool
    daily_photo_upload_limit: int
    daily_baby_generation_limit: int
    text_generation: bool
    profile_search: bool
    message_search: bool
    updated_at: datetime | None = Field(description="Time of the latest change.")
    updated_by: UUID | None = Field(
        description="The admin who made the latest change; null if it was made in the database."
    )

    @classmethod
    def of(cls, settings: SystemSettings) -> SettingsAnswer:
        return cls(**asdict(settings))
