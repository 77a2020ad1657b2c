"""Schools that go by several names."""

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
"""Most domains and most aliases of one school that a request names."""


def _domain(text: str) -> str:
    try:
        return usable_domain(text)
    except ValueError as exc:
        raise PydanticCustomError("domain", "{sentence}", {"sentence": str(exc)}) from exc


Domains = Annotated[
    list[Annotated[str, AfterValidator(_domain)]],
    Field(
        max_length=MOST_NAMES,
        description="Of e-mail addresses at or below which users are of this school, and may sign up. Not "
        "that of a mail provider: everybody there would be at one school.",
        examples=[["stanford.edu"]],
    ),
]
Aliases = Annotated[
    list[Label],
    Field(
        max_length=MOST_NAMES,
        description="What else users call it; letter case and spaces do not count.",
        examples=[["Stanford", "Leland Stanford Junior University"]],
    ),
]


class NewSchool(Schema):
    name: Label = Field(examples=["Stanford University"])
    domains: Domains = Field(default_factory=list)
    aliases: Aliases = Field(default_factory=list)


class SchoolUpdate(Schema):
    """What is left out, or null, stays as it is."""

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
    users: int = Field(ge=0, description="How many call their school by one of its names.")
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, school: School) -> SchoolSummary:
        return cls.model_validate(school, from_attributes=True)


class SchoolsAnswer(Schema):
    schools: list[SchoolSummary] = Field(description="By name.")
    total: int = Field(ge=0, description="All there are, on whatever page.", examples=[1])
    next_cursor: str | None = Field(description="`cursor` of the next page; null at the end.")


class UnknownSchoolSummary(Schema):
    name: str = Field(description="Letter by letter.", examples=["Leland Stanford"])
    users: int = Field(ge=1, description="How many call their school so.")


class UnknownSchoolsAnswer(Schema):
    schools: list[UnknownSchoolSummary] = Field(description="The most frequent first.")


class RematchedAnswer(Schema):
    users_rematched: int = Field(
        ge=0, description="Users who are of another school now, all of whose faces are matched again."
    )


class SchoolAnswer(RematchedAnswer):
    school: SchoolSummary
