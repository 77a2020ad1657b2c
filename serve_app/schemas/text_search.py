"""People and messages that a user finds by words and meaning."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from db.text_search import MOST_FOUND, PersonFound
from serve_app.links import Links
from serve_app.schemas.base import Schema, ThumbnailUrl
from serve_app.schemas.messages import MessageAnswer


class FoundPerson(Schema):
    id: UUID = Field(description="The profile's id.")
    name: str | None = Field(examples=["Ada"])
    bio: str = Field(examples=["I play the violin and study biology."])
    image: str | None = Field(description="Picture of the default face. Signed URL that expires.")
    thumbnail_url: ThumbnailUrl | None

    @classmethod
    def of(cls, person: PersonFound, links: Links) -> FoundPerson:
        key = person.image_path
        urls = None if key is None else links.renditions(key, "faces")
        return cls(
            id=person.id,
            name=person.name,
            bio=person.bio,
            image=None if urls is None else urls.full,
            thumbnail_url=None if urls is None else urls.thumbnail,
        )


class ProfileSearchAnswer(Schema):
    people: list[FoundPerson] = Field(description="Best first.", max_length=MOST_FOUND)
    by_meaning: bool = Field(
        description="False: what was asked could not be understood now, and people were found by its words "
        "only."
    )


class MessageSearchAnswer(Schema):
    messages: list[MessageAnswer] = Field(description="Best first.", max_length=MOST_FOUND)
    by_meaning: bool = Field(
        description="False: messages were found by the words of `q` only, because the user or an "
        "administrator has not switched meaning on, or because `q` could not be understood now."
    )
