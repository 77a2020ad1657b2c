"""People of the gallery, as operators see and change them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from db.people import GalleryDeletion, GalleryPerson, ListedPerson, PersonDetails, PersonPhoto
from semblance.types import Gender
from serve_app.links import Links
from serve_app.schemas.base import FeedUrl, Schema, Score, ThumbnailUrl
from serve_app.schemas.patterns import STORABLE
from serve_app.schemas.profiles import Label

MOST_IDS = 1000
"""People or photos that one request changes."""

Ids = Annotated[list[UUID], Field(min_length=1, max_length=MOST_IDS)]
Category = Annotated[str, Field(min_length=1, max_length=200, pattern=STORABLE, examples=["actors"])]
Bio = Annotated[str, Field(max_length=10_000, pattern=STORABLE)]


class ListedPersonAnswer(Schema):
    id: UUID
    name: str
    category: str | None
    gender: Gender | None = Field(description="As stated, otherwise as estimated from the best photo.")
    gender_stated: bool
    quality: Score | None = Field(description="Of the best photo.")
    photos: int = Field(ge=1)
    feed_url: FeedUrl
    thumbnail_url: ThumbnailUrl

    @classmethod
    def of(cls, person: ListedPerson, links: Links) -> ListedPersonAnswer:
        urls = links.renditions(person.image_path, "celebrities")
        return cls(
            id=person.id,
            name=person.name,
            category=person.category,
            gender=person.gender or person.seen_gender,
            gender_stated=person.gender is not None,
            quality=person.quality,
            photos=person.photos,
            feed_url=urls.feed,
            thumbnail_url=urls.thumbnail,
        )


class PeopleAnswer(Schema):
    people: list[ListedPersonAnswer] = Field(description="By name.")
    next_cursor: str | None
    total: int | None = Field(description="How many people pass the filters; null after the first page.")


class CategoryCount(Schema):
    category: str
    people: int = Field(ge=1)


class CategoriesAnswer(Schema):
    categories: list[CategoryCount] = Field(description="By name.")


class PersonPhotoAnswer(Schema):
    id: UUID = Field(description="The `celebrity_id` of searches and matches.")
    quality: Score | None
    age: int | None
    gender: Gender | None = Field(description="As estimated from the photo.")
    expression: str | None
    searchable: bool = Field(description="Whether it has an embedding of the model pack in use.")
    added_at: datetime
    image_url: str = Field(description="Signed URL that expires.")
    thumbnail_url: ThumbnailUrl

    @classmethod
    def of(cls, photo: PersonPhoto, links: Links, pack_digest: str) -> PersonPhotoAnswer:
        urls = links.renditions(photo.image_path, "celebrities")
        return cls(
            id=photo.id,
            quality=photo.quality,
            age=photo.age,
            gender=photo.seen_gender,
            expression=photo.expression,
            searchable=pack_digest in photo.pack_digests,
            added_at=photo.created_at,
            image_url=urls.full,
            thumbnail_url=urls.thumbnail,
        )


class PersonAnswer(Schema):
    id: UUID
    name: str
    bio: str | None
    category: str | None
    gender: Gender | None = Field(description="As stated.")
    added_at: datetime
    photos: list[PersonPhotoAnswer] = Field(description="The best first.")
    total: int = Field(ge=0, description="How many photos there are; at most 1,000 are listed.")

    @classmethod
    def of(cls, person: GalleryPerson, links: Links, pack_digest: str) -> PersonAnswer:
        details = person.details
        return cls(
            id=person.id,
            name=details.name,
            bio=details.bio,
            category=details.category,
            gender=details.gender,
            added_at=person.created_at,
            photos=[PersonPhotoAnswer.of(photo, links, pack_digest) for photo in person.photos],
            total=person.total,
        )


class PersonBody(Schema):
    """What is said of a person; it replaces what was said before."""

    name: Label = Field(examples=["Tilda Swinton"])
    bio: Bio | None = None
    category: Category | None = None
    gender: Gender | None = None

    def details(self) -> PersonDetails:
        return PersonDetails(self.name, self.bio or None, self.category, self.gender)


class PeopleIds(Schema):
    ids: Ids


class KnownPeopleAnswer(Schema):
    ids: list[UUID]


class PhotoIds(Schema):
    photo_ids: Ids


class NewPersonOfPhotos(PhotoIds):
    name: Label | None = Field(None, description="Of the new person; null: the same as before.")


class GalleryDeletionAnswer(Schema):
    deletion_id: UUID
    people: int = Field(ge=0)
    photos: int = Field(ge=0)
    undo_seconds: int = Field(
        ge=0,
        description="For how long it can be undone: no time of day, because the client's clock may be off.",
    )

    @classmethod
    def of(cls, deletion: GalleryDeletion) -> GalleryDeletionAnswer:
        return cls(
            deletion_id=deletion.id,
            people=deletion.people,
            photos=deletion.photos,
            undo_seconds=deletion.undo_seconds,
        )


class RestoredAnswer(Schema):
    people: int = Field(ge=0)
    photos: int = Field(ge=0)
