"""Schools that have several names."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from db.schools import School, SchoolNames
from semblance.schools import usable_domain
from serve_app.schemas.base import Schema
from serve_app.schemas.profiles import Label

MOST_NAMES = 100
"""Limit of the domains, and of the aliases, of a school in a request."""


def _domain(text: str) -> str:
    try:
        return usable_domain(text)
    except ValueError as exc:
        raise PydanticCustomError("domain", "{sentence}", {"sentence": str(exc)}) from exc


Domains = Annotated[
    list[Annotated[str, AfterValidator(_domain)]],
    Field(
        max_length=MOST_NAMES,
        description="Domains of e-mail addresses, including subdomains, whose users belong to this school "
        "and may sign up. Not that of a mail provider: all its users would be at one school.",
        examples=[["stanford.edu"]],
    ),
]
Aliases = Annotated[
    list[Label],
    Field(
        max_length=MOST_NAMES,
        description="Other names that users give the school; letter case and spaces do not matter.",
        examples=[["Stanford", "Leland Stanford Junior University"]],
    ),
]


class NewSchool(Schema):
    name: Label = Field(examples=["Stanford University"])
    domains: Domains = Field(default_factory=list)
    aliases: Aliases = Field(default_factory=list)


class SchoolUpdate(Schema):
    """Fields that are left out or null stay as they are."""

    name: Label | None = Field(None, examples=["Stanford University"])
    domains: Domains | None = None
    aliases: Aliases | None = None

    def names(self) -> SchoolNames:
        return SchoolNames(self.name, self.domains, self.aliases)


class SchoolSummary(Schema):
    id: UUID
    name: str = Field(examples=["Stanford University"])
    domains: list[str] = Field(examples=[["stanford.edu"]])
    aliases: list[str] = Field(examples=[["Stanford"]])
    users: int = Field(ge=0, description="Number of users whose profile names the school.")
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, school: School) -> SchoolSummary:
        return cls.model_validate(school, from_attributes=True)


class SchoolsAnswer(Schema):
    schools: list[SchoolSummary] = Field(description="By name.")
    total: int = Field(ge=0, description="Length of the whole list.", examples=[1])
    next_cursor: str | None = Field(description="The `cursor` of the next page; null at the end.")


class UnknownSchoolSummary(Schema):
    name: str = Field(description="Exactly as users write it.", examples=["Leland Stanford"])
    users: int = Field(ge=1, description="Number of users whose profile has this name.")


class UnknownSchoolsAnswer(Schema):
    schools: list[UnknownSchoolSummary] = Field(description="Most frequent first.")


class RematchedAnswer(Schema):
    users_rematched: int = Field(
        ge=0,
        description="Number of users who now belong to another school; all their faces are matched again.",
    )


class SchoolAnswer(RematchedAnswer):
    school: SchoolSummary
