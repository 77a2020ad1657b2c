"""A user's own profile, and the public settings."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from db.profiles import Profile, StatedGender
from semblance import bios
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
"""The name of a person or a school, as `usable_name` returns it."""


def _bio(text: str) -> str:
    try:
        return bios.usable_bio(text)
    except ValueError as exc:
        raise PydanticCustomError("bio", "{sentence}", {"sentence": str(exc)}) from exc


Bio = Annotated[
    str, AfterValidator(_bio), Field(json_schema_extra={"minLength": 1, "maxLength": bios.MAX_LENGTH})
]
"""What somebody says about themselves, as `usable_bio` returns it."""


class ProfileAnswer(Schema):
    id: UUID = Field(description="The account's id at the identity provider.")
    name: str | None = Field(examples=["Ada"])
    email: str | None = Field(examples=["ada@cs.stanford.edu"])
    gender: StatedGender | None = Field(description="As stated by the user.")
    school: str | None = Field(
        description="Matches are looked for there; the school of the e-mail address unless the user names "
        "another.",
        examples=["stanford.edu"],
    )
    default_face_id: UUID | None
    image: str | None = Field(description="Picture of the default face. Signed URL that expires.")
    show_presence: bool = Field(description="Whether others see when the user is online.")
    text_generation: bool = Field(
        description="Whether the user wants texts to be suggested, made of their profile and messages."
    )
    message_search: bool = Field(
        description="Whether the user wants messages of their chats to be found by what these mean."
    )
    bio: str | None = Field(
        description="What the user says about themselves.", examples=["I play the violin and study biology."]
    )

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
            text_generation=profile.text_generation,
            message_search=profile.message_search,
            bio=profile.bio,
        )


class ProfileChange(Schema):
    """What to change. Fields that are left out stay as they are; null clears a field."""

    name: Label | None = Field(None, examples=["Ada"])
    gender: StatedGender | None = None
    school: Label | None = Field(None, description="Null: the school of the e-mail address, if it has one.")
    default_face_id: UUID | None = Field(None, description="One of the user's own faces.")
    show_presence: Annotated[bool, Field(strict=True)] | None = Field(
        None,
        description="False: nobody sees when the user is online, and it is not recorded. Null: true again.",
    )
    text_generation: Annotated[bool, Field(strict=True)] | None = Field(
        None,
        description="True: texts may be made of the user's profile and messages, and suggested to them and "
        "to connected users who want it, too. Null: false again.",
    )
    message_search: Annotated[bool, Field(strict=True)] | None = Field(
        None,
        description="True: the messages of chats whose other user wants it, too, are found by what they "
        "mean. For that, vectors are made of them. False deletes the vectors at once. Null: false again.",
    )
    bio: Bio | None = Field(
        None,
        description="What the user says about themselves. Where an administrator allows it, people of the "
        "user's school find them by it, and see it.",
        examples=["I play the violin and study biology."],
    )


class ConfigAnswer(Schema):
    allowNonEduEmails: bool = Field(  # noqa: N815 - the contract's spelling
        description="Whether addresses that belong to no school may sign up."
    )
