"""API keys, as operators see them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field

from db.api_keys import ApiKey, Scope
from serve_app.schemas.base import Schema
from serve_app.schemas.profiles import Label


class NewApiKey(Schema):
    name: Label = Field(description="What or who uses the key.", examples=["Photo booth"])
    scopes: Annotated[set[Scope], Field(min_length=1)] = Field(
        description="`compute` opens the endpoints that analyze and compare faces, `search` the search among "
        "users' faces, `metrics` the metrics.",
        examples=[["compute"]],
    )


class ApiKeySummary(Schema):
    id: UUID
    name: str = Field(examples=["Photo booth"])
    prefix: str = Field(description="How the key begins.", examples=["smk_Zk3vQa"])
    scopes: list[Scope]
    created_at: datetime
    last_used_at: datetime | None = Field(description="To the minute; null before the first use.")
    revoked_at: datetime | None = Field(description="Null while the key is valid.")

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        return cls.model_validate(key, from_attributes=True)


class ApiKeysAnswer(Schema):
    keys: list[ApiKeySummary] = Field(description="All keys, including revoked ones, oldest first.")


class NewApiKeyAnswer(Schema):
    key: str = Field(description="The key itself. It cannot be retrieved later.")
    stored: ApiKeySummary
