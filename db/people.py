"""People of the gallery, as operators see them and change them.

A celebrity is one photo of a person. Name, bio, category and stated gender are the person's, and every photo
has the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from db.admin_events import tell_operators
from db.audit import MOST_NAMED, audit
from db.pages import ByName, CountedPage, cut_page
from db.pool import Connection, Database
from db.queries import sql
from semblance.errors import BadInputError, ConflictError, NotFoundError
from semblance.types import Gender

UNDO_FOR: Final = timedelta(minutes=1)
"""How long a deletion can be undone."""

_KEPT_FOR: Final = timedelta(seconds=90)
"""How long the storage keeps the pictures of a deletion: longer than it can be undone."""

MOST_PHOTOS: Final = 1000
"""Photos of a person that one answer lists, the best first."""

MOST_CATEGORIES: Final = 1000
"""Categories that one answer lists, by name."""


@dataclass(frozen=True, slots=True)
class PeopleFilter:
    """Which people: part of the name, in any letter case; their category; their gender, as stated, otherwise
    as seen in the best photo; the lowest quality of that photo, 0..1."""

    name: str = ""
    category: str | None = None
    gender: Gender | None = None
    least_quality: float | None = None


@dataclass(frozen=True, slots=True)
class PersonDetails:
    """What an operator says of a person. gender: as stated."""

    name: str
    bio: str | None
    category: str | None
    gender: Gender | None


@dataclass(frozen=True, slots=True)
class ListedPerson:
    """A person with the best photo. image_path: its key. quality: 0..1. photos: how many there are."""

    id: UUID
    name: str
    category: str | None
    gender: Gender | None
    seen_gender: Gender | None
    image_path: str
    quality: float | None
    photos: int


@dataclass(frozen=True, slots=True)
class PersonPhoto:
    """A photo of a person, which is a celebrity. quality: 0..1. pack_digests: of the packs that have embedded
    it."""

    id: UUID
    image_path: str
    quality: float | None
    age: int | None
    seen_gender: Gender | None
    expression: str | None
    pack_digests: list[str]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class GalleryPerson:
    """A person. photos: the best first, `MOST_PHOTOS` at most. total: how many there are."""

    id: UUID
    details: PersonDetails
    created_at: datetime
    photos: list[PersonPhoto]
    total: int


@dataclass(frozen=True, slots=True)
class GalleryDeletion:
    """What was deleted together. undo_seconds: for so long it can be undone."""

    id: UUID
    people: int
    photos: int
    undo_seconds: int


class People:
    """The table `people`, and the photos of each in `celebrities`. Every method raises DatabaseError if the
    database does not answer. Changes are recorded in the audit log and told to operators."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, which: PeopleFilter, *, limit: int, after: ByName | None = None, skip: int = 0
    ) -> CountedPage[ListedPerson, ByName]:
        """People who have a photo, by name.

        Args:
            which: whom to list.
            limit: of the page.
            after: the `next` of the previous page.
            skip: how many of those who follow are left out before the page begins.

        The total is only counted for the first page, and -1 on others.
        """
        async with self._database.transaction(readonly=True) as connection:
            await connection.execute(sql.tune_people)
            name = await connection.fetchval(sql.folded, which.name)
            filters = (name, which.category, which.gender, which.least_quality)
            rows = await connection.fetch(sql.page_of_people, *filters, *(after or (None, None)), limit, skip)
            shown, following = cut_page(rows, limit, "folded_name")
            if after or skip:
                total = -1
            elif following is None:
                total = len(shown)
            else:
                total = await connection.fetchval(sql.count_people, *filters)
        return CountedPage([_listed(row) for row in shown], following, total)

    async def categories(self) -> dict[str, int]:
        """The categories, by name, and how many people each has."""
        rows = await self._database.fetch(sql.categories_of_people, MOST_CATEGORIES)
        return {row["category"]: row["people"] for row in rows}

    async def get(self, person: UUID) -> GalleryPerson:
        """A person with photos. Raises NotFoundError if nobody has this id."""
        async with self._database.transaction(readonly=True) as connection:
            row = await connection.fetchrow(sql.person_by_id, person)
            if row is None:
                raise _nobody()
            photos = await connection.fetch(sql.photos_of_person, person, MOST_PHOTOS)
            total = await connection.fetchval(sql.count_photos_of_person, person)
        return GalleryPerson(
            row["id"], _details(row), row["created_at"], [PersonPhoto(**photo) for photo in photos], total
        )

    async def known(self, people: Collection[UUID]) -> list[UUID]:
        """Those of these people who are in the gallery, in no order."""
        return [row["id"] for row in await self._database.fetch(sql.known_people, list(people))]

    async def edit(self, person: UUID, details: PersonDetails) -> None:
        """Change what is said of a person, in every photo.

        Raises NotFoundError if nobody has this id, ConflictError if the person gets the name of another one
        of this category.
        """
        async with self._database.transaction() as connection:
            before = await _lock(connection, [person])
            old = _details(before[person])
            renamed = (old.name, old.category) != (details.name, details.category)
            if renamed and await connection.fetchval(sql.namesake, details.name, details.category, person):
                raise ConflictError(
                    f"Another person of this category is called {details.name}. Merge the two, or choose "
                    "another name."
                )
            await connection.execute(
                sql.update_person, person, details.name, details.bio, details.category, details.gender
            )
            photos = await _lock_photos(connection, [person])
            await connection.execute(sql.show_person_in_photos, list(photos), person)
            await audit(connection, "person.edit", str(person), before=asdict(old), after=asdict(details))
            await tell_operators(connection, "gallery", {"person_id": str(person)})

    async def merge(self, person: UUID, others: Collection[UUID]) -> None:
        """Make the photos of others photos of this person, whose name and details they get.

        Raises NotFoundError if one of them is not there, BadInputError if the person is one of the others.
        """
        if person in others:
            raise BadInputError("A person cannot be merged with themselves.")
        async with self._database.transaction() as connection:
            people = await _lock(connection, [person, *others])
            photos = await _lock_photos(connection, list(others))
            await connection.execute(sql.show_person_in_photos, list(photos), person)
            await connection.execute(sql.delete_people, list(others))
            names = {str(other): people[other]["name"] for other in list(others)[:MOST_NAMED]}
            await audit(
                connection,
                "person.merge",
                str(person),
                before={"people": names},
                after={"name": people[person]["name"], "photos": len(photos)},
            )
            await tell_operators(connection, "gallery", {"person_id": str(person)})

    async def split(self, person: UUID, photos: Collection[UUID], name: str | None = None) -> UUID:
        """Make some of a person's photos another person, who has the same details; returns the new id.

        Args:
            name: of the new person; None: the same.

        Raises NotFoundError if the person or a photo is not there, BadInputError if no photo would be left.
        """
        async with self._database.transaction() as connection:
            details = _details((await _lock(connection, [person]))[person])
            own = await _own_photos(connection, person, photos)
            if len(own) == len(set(photos)):
                raise BadInputError("A person keeps at least one photo. Edit the person instead.")
            new: UUID = await connection.fetchval(
                sql.add_person, name or details.name, details.bio, details.category, details.gender
            )
            await connection.execute(sql.show_person_in_photos, list(photos), new)
            await audit(
                connection,
                "person.split",
                str(person),
                before={"name": details.name, "photos": len(own)},
                after={"person_id": str(new), "name": name or details.name, "photos": len(set(photos))},
            )
            await tell_operators(connection, "gallery", {"person_id": str(person)})
        return new

    async def delete(self, people: Collection[UUID]) -> GalleryDeletion:
        """Delete people with their photos, matches and pictures. Those who are gone already are ignored.

        Raises NotFoundError if all are.
        """
        async with self._database.transaction() as connection:
            locked = await connection.fetch(sql.lock_people, list(people))
            if not locked:
                raise _nobody()
            ids = [row["id"] for row in locked]
            return await _delete(connection, ids, await _lock_photos(connection, ids), "person.delete")

    async def delete_photos(self, person: UUID, photos: Collection[UUID]) -> GalleryDeletion:
        """Delete photos of a person; the last one takes the person along.

        Raises NotFoundError if the person or a photo is not there.
        """
        async with self._database.transaction() as connection:
            await _lock(connection, [person])
            own = await _own_photos(connection, person, photos)
            gone = {photo: own[photo] for photo in photos}
            people = [person] if len(gone) == len(own) else []
            return await _delete(connection, people, gone, "person.delete_photos")

    async def undo(self, deletion: UUID) -> tuple[int, int]:
        """Restore what was deleted; returns how many people and photos. Pictures that were added again
        meanwhile stay as they are.

        Raises NotFoundError if it can no longer be undone.
        """
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(sql.claim_gallery_deletion, deletion, UNDO_FOR)
            if row is None:
                raise NotFoundError("This can no longer be undone. Add the photos again.")
            for query in (
                sql.restore_people,
                sql.restore_celebrities,
                sql.restore_celebrity_matches,
                sql.restore_spare_embeddings,
                sql.forget_gallery_deletion,
            ):
                await connection.execute(query, deletion)
            await audit(
                connection,
                "person.restore",
                str(deletion),
                after={"people": row["people"], "photos": row["photos"]},
            )
            await tell_operators(connection, "gallery", {"restored": row["photos"]})
        return row["people"], row["photos"]

    async def forget_deletions(self) -> None:
        """Remove the rows of deletions that can no longer be undone."""
        await self._database.execute(sql.forget_gallery_deletions, UNDO_FOR)


async def _delete(
    connection: Connection, people: Sequence[UUID], photos: dict[UUID, str], action: str
) -> GalleryDeletion:
    deletion: UUID = await connection.fetchval(sql.record_gallery_deletion, len(people), len(photos))
    await connection.execute(sql.keep_deleted_rows, deletion, list(photos), list(people))
    await connection.execute(sql.delete_celebrities, list(photos))
    await connection.execute(sql.delete_people, list(people))
    await connection.execute(sql.postpone_object_deletions, list(photos.values()), _KEPT_FOR)
    await audit(
        connection,
        action,
        str(deletion),
        before={
            "people": [str(person) for person in people[:MOST_NAMED]],
            "photos": [str(photo) for photo in list(photos)[:MOST_NAMED]],
        },
        after={"people": len(people), "photos": len(photos)},
    )
    await tell_operators(connection, "gallery", {"deleted": len(photos)})
    return GalleryDeletion(deletion, len(people), len(photos), int(UNDO_FOR.total_seconds()))


async def _lock(connection: Connection, people: list[UUID]) -> dict[UUID, asyncpg.Record]:
    found = {row["id"]: row for row in await connection.fetch(sql.lock_people, people)}
    if len(found) < len(set(people)):
        raise _nobody()
    return found


async def _lock_photos(connection: Connection, people: list[UUID]) -> dict[UUID, str]:
    """The photos of people by id, each with the key of its picture."""
    return {row["id"]: row["image_path"] for row in await connection.fetch(sql.lock_photos_of_people, people)}


async def _own_photos(connection: Connection, person: UUID, photos: Collection[UUID]) -> dict[UUID, str]:
    """All photos of a person, among which must be the given ones."""
    own = await _lock_photos(connection, [person])
    if not own.keys() >= set(photos):
        raise NotFoundError("This person has no such photo; it may have been deleted or moved.")
    return own


def _nobody() -> NotFoundError:
    return NotFoundError("There is nobody with this id in the gallery.")


def _details(row: asyncpg.Record) -> PersonDetails:
    return PersonDetails(row["name"], row["bio"], row["category"], row["gender"])


def _listed(row: asyncpg.Record) -> ListedPerson:
    return ListedPerson(**{name: value for name, value in row.items() if name != "folded_name"})
