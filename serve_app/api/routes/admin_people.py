"""People of the gallery, for operators."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query

from db.people import PeopleFilter
from semblance.types import Gender
from serve_app.api.cursors import Cursor, encode_cursor, place_by_name
from serve_app.api.dependencies import Injected, InjectedLinks, Operator
from serve_app.api.responses import BODY, errors
from serve_app.api.topics import Topic
from serve_app.schemas.patterns import STORABLE
from serve_app.schemas.people import (
    CategoriesAnswer,
    CategoryCount,
    GalleryDeletionAnswer,
    KnownPeopleAnswer,
    ListedPersonAnswer,
    NewPersonOfPhotos,
    PeopleAnswer,
    PeopleIds,
    PersonAnswer,
    PersonBody,
    PhotoIds,
    RestoredAnswer,
)

router = Topic(prefix="/admin/people", tags=["admin"])

MOST_SKIPPED = 10_000_000
"""More than a gallery has, and a number that PostgreSQL takes."""

Text = Annotated[str | None, Query(max_length=200, pattern=STORABLE)]


@router.get("", responses=errors(400, 401, 403))
async def list_people(
    *,
    _: Operator,
    services: Injected,
    links: InjectedLinks,
    name: Annotated[
        str, Query(max_length=200, pattern=STORABLE, description="Part of the name, in any letter case.")
    ] = "",
    category: Text = None,
    gender: Gender | None = None,
    least_quality: Annotated[
        float | None, Query(ge=0, le=1, description="The lowest quality of the best photo.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    cursor: Cursor = None,
    skip: Annotated[
        int,
        Query(
            ge=0,
            le=MOST_SKIPPED,
            description="How many people to leave out first, for a list with a scroll bar. To read "
            "everybody, use the cursor: it misses nobody when others are added or deleted meanwhile.",
        ),
    ] = 0,
) -> PeopleAnswer:
    """People of the gallery by name, each with the best photo."""
    which = PeopleFilter(name, category, gender, least_quality)
    page = await services.db.people.page(which, limit=limit, after=place_by_name(cursor), skip=skip)
    return PeopleAnswer(
        people=[ListedPersonAnswer.of(person, links) for person in page.items],
        next_cursor=encode_cursor(page.next),
        total=None if page.total < 0 else page.total,
    )


@router.get("/categories", responses=errors(401, 403))
async def list_categories(_: Operator, services: Injected) -> CategoriesAnswer:
    """The categories of the gallery, and how many people each has."""
    found = await services.db.people.categories()
    return CategoriesAnswer(
        categories=[CategoryCount(category=name, people=people) for name, people in found.items()]
    )


@router.post("/known", responses=errors(401, 403, *BODY))
async def find_known_people(body: PeopleIds, _: Operator, services: Injected) -> KnownPeopleAnswer:
    """Which of these people are in the gallery. The others have been deleted, or merged with somebody."""
    return KnownPeopleAnswer(ids=await services.db.people.known(body.ids))


@router.post("/delete", responses=errors(401, 403, 404, *BODY))
async def delete_people(body: PeopleIds, _: Operator, services: Injected) -> GalleryDeletionAnswer:
    """Delete people with their photos, matches and pictures. They leave every search at once; for a minute,
    this can be undone."""
    return GalleryDeletionAnswer.of(await services.db.people.delete(body.ids))


@router.post("/deletions/{deletion_id}/undo", responses=errors(401, 403, 404))
async def undo_gallery_deletion(deletion_id: UUID, _: Operator, services: Injected) -> RestoredAnswer:
    """Restore deleted people and photos with all that was known of them. 404 once the minute is over."""
    people, photos = await services.db.people.undo(deletion_id)
    return RestoredAnswer(people=people, photos=photos)


@router.get("/{person_id}", responses=errors(401, 403, 404))
async def read_person(person_id: UUID, _: Operator, services: Injected, links: InjectedLinks) -> PersonAnswer:
    """A person with all photos."""
    return PersonAnswer.of(await services.db.people.get(person_id), links, services.model.digest)


@router.put("/{person_id}", responses=errors(401, 403, 404, 409, *BODY))
async def edit_person(
    person_id: UUID, body: PersonBody, _: Operator, services: Injected, links: InjectedLinks
) -> PersonAnswer:
    """Change what is said of a person. 409 if another person of the category has this name."""
    await services.db.people.edit(person_id, body.details())
    return PersonAnswer.of(await services.db.people.get(person_id), links, services.model.digest)


@router.post("/{person_id}/merge", responses=errors(400, 401, 403, 404, *BODY))
async def merge_people(
    person_id: UUID, body: PeopleIds, _: Operator, services: Injected, links: InjectedLinks
) -> PersonAnswer:
    """Make the photos of others photos of this person, and remove the others."""
    await services.db.people.merge(person_id, set(body.ids))
    return PersonAnswer.of(await services.db.people.get(person_id), links, services.model.digest)


@router.post("/{person_id}/split", responses=errors(400, 401, 403, 404, *BODY))
async def split_person(
    person_id: UUID, body: NewPersonOfPhotos, _: Operator, services: Injected, links: InjectedLinks
) -> PersonAnswer:
    """Make some of a person's photos another person; answers with the new one."""
    new = await services.db.people.split(person_id, set(body.photo_ids), body.name)
    return PersonAnswer.of(await services.db.people.get(new), links, services.model.digest)


@router.post("/{person_id}/photos/delete", responses=errors(401, 403, 404, *BODY))
async def delete_photos_of_person(
    person_id: UUID, body: PhotoIds, _: Operator, services: Injected
) -> GalleryDeletionAnswer:
    """Delete photos of a person, as `POST /api/admin/people/delete` does. The last one takes the person
    along."""
    return GalleryDeletionAnswer.of(await services.db.people.delete_photos(person_id, set(body.photo_ids)))
