"""The old answers, each made of today's."""

from __future__ import annotations

from datetime import datetime
from functools import wraps
from typing import Any, Literal
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ConfigDict

from semblance.errors import UnauthorizedError
from semblance.storage import PictureTable
from semblance.storage.pictures import Rendition
from serve_app.api.identity import CurrentUser, require_cron
from serve_app.api.links import InjectedLinks, Links
from serve_app.api.routes import auth, jobs, matches, user_faces
from serve_app.api.schemas.base import Schema
from serve_app.api.schemas.jobs import MAX_PROCESSED, ProcessedJob
from serve_app.api.schemas.matches import MatchPerson, MatchSummary
from serve_app.api.schemas.profiles import ProfileAnswer, ProfileChange
from serve_app.api.schemas.user_faces import FaceSummary
from serve_app.api.services import Injected
from serve_app.auth import bearer_token, same_secret

# The OpenAPI document describes today's answers; a client that is generated from it needs no old ones.
router = APIRouter(include_in_schema=False)

IGNORED_FIELDS = "X-Ignored-Fields"
"""Header that names what a client sent for nothing. `Warning` would have been the field for it, but is
obsolete (RFC 9111, section 5.5)."""

_MOST_NAMES, _LONGEST_NAME = 20, 60
_PAGE = 100
"""Faces read at once."""


class KeyedLinks(Links):
    """Links that remember of which key each is, since the old answers have both."""

    def __init__(self, links: Links) -> None:
        self.keys: dict[str, str] = {}
        self._links = links

    def link(self, key: str, table: PictureTable, rendition: Rendition | None = None) -> str:
        url = self._links.link(key, table, rendition)
        if rendition is None:
            self.keys[url] = key
        return url


class OldProfileChange(ProfileChange):
    """Takes what today's does, and puts up with anything beside it."""

    model_config = ConfigDict(extra="allow")


class OldProfile(ProfileAnswer):
    """With the rest of the row."""

    profile_type: Literal["user"] = "user"
    created_at: datetime
    updated_at: datetime


class OldFace(FaceSummary):
    image_path: str


class OldPerson(MatchPerson):
    image_path: str


class OldPair(Schema):
    a: OldPerson
    b: OldPerson


class OldMatch(MatchSummary):
    users: OldPair  # type: ignore[assignment]  # both of its people have a field more


class OldJob(ProcessedJob):
    id: UUID


class OldJobs(Schema):
    processed: int
    results: list[OldJob]


class Generated(Schema):
    success: bool
    message: str
    processed: bool
    matchCount: int  # noqa: N815 - the old spelling


@router.patch("/api/auth/me")
async def update_me(
    change: OldProfileChange,
    response: Response,
    user: CurrentUser,
    services: Injected,
    links: InjectedLinks,
) -> OldProfile:
    """What it does not know it ignores, and names in a header."""
    known = change.model_fields_set & ProfileChange.model_fields.keys()
    answer = await auth.update_me(
        ProfileChange(**{name: getattr(change, name) for name in known}), user, services, links
    )
    if change.model_extra:
        names = sorted(change.model_extra)[:_MOST_NAMES]
        response.headers[IGNORED_FIELDS] = ", ".join(quote(name[:_LONGEST_NAME]) for name in names)
    updated_at = await services.db.profiles.updated_at(user.id)
    return OldProfile(
        **answer.model_dump(), created_at=user.created_at, updated_at=updated_at or user.created_at
    )


@router.get("/api/faces")
async def list_faces(user: CurrentUser, services: Injected, links: InjectedLinks) -> list[OldFace]:
    """All of them, without pages."""
    keyed = KeyedLinks(links)
    faces: list[OldFace] = []
    cursor = None
    while True:
        page = await user_faces.list_faces(user, services, keyed, _PAGE, cursor)
        faces += [OldFace(**face.model_dump(), image_path=keyed.keys[face.image_url]) for face in page.faces]
        if (cursor := page.next_cursor) is None:
            return faces


@router.get("/api/matches/top", response_model=list[OldMatch])
@wraps(matches.list_top_matches)
async def list_top_matches(**asked: Any) -> list[OldMatch]:
    keyed = asked["links"] = KeyedLinks(asked["links"])
    answer = await matches.list_top_matches(**asked)

    def person(someone: MatchPerson) -> OldPerson:
        return OldPerson(**someone.model_dump(), image_path=keyed.keys[someone.image])

    return [
        OldMatch(
            **match.model_dump(exclude={"users"}),
            users=OldPair(a=person(match.users.a), b=person(match.users.b)),
        )
        for match in answer.matches
    ]


@router.get("/api/cron/process-jobs", dependencies=[Depends(require_cron)], response_model=OldJobs)
@wraps(jobs.process_jobs)
async def process_jobs(**asked: Any) -> OldJobs:
    answer = await jobs.process_jobs(**asked)
    return OldJobs(
        processed=answer.processed,
        results=[OldJob(**result.model_dump(), id=result.job_id) for result in answer.results],
    )


async def require_scheduler(request: Request, services: Injected) -> None:
    """Whatever a scheduler of the old app may have been given: the cron secret, the service's API key, or the
    project's service role key. The anon key, which every browser has, is none of them."""
    settings = services.settings
    given = bearer_token(request.headers.get("authorization"))
    secrets = (settings.cron_secret, settings.api_key, settings.supabase_service_role_key)
    if not any(same_secret(given, secret) for secret in secrets if secret is not None):
        raise UnauthorizedError("This key is not valid.")


@router.post("/functions/v1/match-generator", dependencies=[Depends(require_scheduler)])
async def generate_matches(services: Injected) -> Generated:
    """What the old app's scheduler called each minute; what it sends is not looked at. Works on the jobs that
    are due, though the matcher does so by itself."""
    outcomes = await services.matcher.process(MAX_PROCESSED)
    failures = [outcome for outcome in outcomes if outcome.status in {"failed", "pending"}]
    if not outcomes:
        message = "No pending jobs"
    elif failures:
        message = f"{len(failures)} of {len(outcomes)} jobs failed: {failures[0].error}"
    else:
        message = "Matches generated successfully"
    return Generated(
        success=not failures,
        message=message,
        processed=bool(outcomes),
        matchCount=sum(outcome.user_matches or 0 for outcome in outcomes),
    )
