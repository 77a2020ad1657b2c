"""A user's own profile, and what everybody may know before signing up."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from db.profiles import Profile, StatedGender
from semblance.names import MAX_LENGTH, usable_name
from serve_app.schemas.base import Schema


def _label(text: str) -> str:
    try:
        return usable_name(text)
    except ValueError as exc:
        raise PydanticCustomError("name", "{sentence}", {"sentence": str(exc)}) from exc


Label = Annotated[
    str, AfterValidator(_label), Field(json_schema_extra={"minLength": 1, "maxLength": MAX_LENGTH})
]
"""A name as `usable_name` has it, of a person or a school."""


class ProfileAnswer(Schema):
    id: UUID = Field(description="The account's id at the identity provider.")
    name: str | None = Field(examples=["Ada"])
    email: str | None = Field(examples=["ada@cs.stanford.edu"])
    gender: StatedGender | None = Field(description="As stated by the user.")
    school: str | None = Field(
        description="Where matches are looked for; the e-mail's own unless the user names another.",
        examples=["stanford.edu"],
    )
    default_face_id: UUID | None
    image: str | None = Field(description="The default face's picture; signed, expires.")
    show_presence: bool = Field(description="Whether others are told when the user is there.")

    @classmethod
    def of(cls, profile: Profile, image: str | None) -> ProfileAnswer:
        return cls(
            id=profile.id,
            name=profile.name,
            email=profile.email,
            gender=profile.gender,
            school=profile.school,
            default_face_id=profile.default_face_id,
            image=image,
            show_presence=profile.show_presence,
        )


class ProfileChange(Schema):
    """What is to change; a field that is left out stays as it is, null clears it."""

    name: Label | None = Field(None, examples=["Ada"])
    gender: StatedGender | None = None
    school: Label | None = Field(None, description="Null: that of the e-mail again, if it has one.")
    default_face_id: UUID | None = Field(None, description="One of the user's own faces.")
    show_presence: Annotated[bool, Field(strict=True)] | None = Field(
        None,
        description="False: nobody is told when the user is there, and it is not noted. Null: true again.",
    )


class ConfigAnswer(Schema):
    allowNonEduEmails: bool = Field(  # noqa: N815 - the contract's spelling
        description="Whether addresses that are of no school may sign up."
    )
