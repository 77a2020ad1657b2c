"""Schools that have several names, for admins."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query, status

from serve_app.api.cursors import encode_cursor, place_by_name
from serve_app.api.dependencies import Injected, Operator
from serve_app.api.responses import BODY, errors
from serve_app.api.topics import Topic
from serve_app.schemas.admin_schools import (
    NewSchool,
    RematchedAnswer,
    SchoolAnswer,
    SchoolsAnswer,
    SchoolSummary,
    SchoolUpdate,
    UnknownSchoolsAnswer,
    UnknownSchoolSummary,
)

router = Topic(prefix="/admin/schools", tags=["admin"])


@router.get("", responses=errors(400, 401, 403))
async def list_schools(
    _: Operator,
    services: Injected,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    cursor: Annotated[
        str | None, Query(max_length=1000, description="The `next_cursor` of the previous page.")
    ] = None,
) -> SchoolsAnswer:
    """The schools that have several names. Any other school is known only by what profiles call it."""
    page = await services.db.schools.page(limit=limit, after=place_by_name(cursor))
    return SchoolsAnswer(
        schools=[SchoolSummary.of(school) for school in page.items],
        total=page.total,
        next_cursor=encode_cursor(page.next),
    )


@router.get("/unknown", responses=errors(401, 403))
async def list_unknown_schools(
    _: Operator, services: Injected, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> UnknownSchoolsAnswer:
    """Names and domains in users' profiles that belong to no listed school."""
    found = await services.db.schools.unknown(limit)
    return UnknownSchoolsAnswer(
        schools=[UnknownSchoolSummary(name=school.name, users=school.users) for school in found]
    )


@router.post("", status_code=status.HTTP_201_CREATED, responses=errors(400, 401, 403, 409, *BODY))
async def add_school(body: NewSchool, _: Operator, services: Injected) -> SchoolAnswer:
    """Add a school with its names. 409 if a name or domain belongs to another school."""
    change = await services.db.schools.add(body.name, body.domains, body.aliases)
    school = await services.db.schools.get(change.school_id)
    return SchoolAnswer(school=SchoolSummary.of(school), users_rematched=change.users_rematched)


@router.patch("/{school_id}", responses=errors(400, 401, 403, 404, 409, *BODY))
async def update_school(school_id: UUID, body: SchoolUpdate, _: Operator, services: Injected) -> SchoolAnswer:
    """Change the names of a school. 409 if a name or domain belongs to another school."""
    change = await services.db.schools.change(school_id, body.names())
    school = await services.db.schools.get(change.school_id)
    return SchoolAnswer(school=SchoolSummary.of(school), users_rematched=change.users_rematched)


@router.delete("/{school_id}", responses=errors(401, 403, 404))
async def remove_school(school_id: UUID, _: Operator, services: Injected) -> RematchedAnswer:
    """Remove a school: each of its users then belongs to the school that their profile names."""
    change = await services.db.schools.remove(school_id)
    return RematchedAnswer(users_rematched=change.users_rematched)
