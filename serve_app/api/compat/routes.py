"""The old answers, each made from the current one."""

from __future__ import annotations

from datetime import datetime
from functools import wraps
from typing import Annotated, Any, Literal
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import AliasChoices, ConfigDict, Field

from semblance.errors import UnauthorizedError
from semblance.picture_tables import PictureTable
from serve_app.api.dependencies import CurrentUser, Injected, InjectedLinks, require_cron
from serve_app.api.routes import auth, inference, jobs, matches, user_faces
from serve_app.auth import bearer_token, same_secret
from serve_app.links import Links, PictureUrls
from serve_app.schemas.base import Schema
from serve_app.schemas.inference import NewInference, QueuedAnswer
from serve_app.schemas.jobs import MAX_PROCESSED, ProcessedJob
from serve_app.schemas.matches import MatchPerson, MatchSummary
from serve_app.schemas.messages import VisibleText, visible_text
from serve_app.schemas.profiles import ProfileAnswer, ProfileChange
from serve_app.schemas.user_faces import FaceSummary

# The OpenAPI document has only the current answers: a client generated from it needs no old ones.
router = APIRouter(include_in_schema=False)

IGNORED_FIELDS = "X-Ignored-Fields"
"""Header that names the fields of a request that were ignored. `Warning` is obsolete (RFC 9111, section
5.5)."""

_MOST_NAMES, _LONGEST_NAME = 20, 60
_PAGE = 100
"""Faces per query."""


class KeyedLinks(Links):
    """Links that remember the key of each URL, since the old answers have both."""

    def __init__(self, links: Links) -> None:
        self.keys: dict[str, str] = {}
        self._links = links

    def renditions(self, key: str, table: PictureTable) -> PictureUrls:
        urls = self._links.renditions(key, table)
        self.keys[urls.full] = key
        return urls


class OldProfileChange(ProfileChange):
    """The current change, which also accepts unknown fields."""

    model_config = ConfigDict(extra="allow")


class OldProfile(ProfileAnswer):
    """The current profile, with the rest of the row."""

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
    users: OldPair  # type: ignore[assignment]  # its users have one more field


class OldJob(ProcessedJob):
    id: UUID


class OldJobs(Schema):
    processed: int
    results: list[OldJob]


class GeneratedTexts(Schema):
    success: bool
    processed: int


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
    """Ignores unknown fields, and names them in a header."""
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
    """All faces, without pages."""
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

    def person(someone: dict[str, Any]) -> OldPerson:
        return OldPerson(**someone, image_path=keyed.keys[someone["image"]])

    return [
        OldMatch(**{**match, "users": OldPair(a=person(match["users"]["a"]), b=person(match["users"]["b"]))})
        for match in answer["matches"]
    ]


@router.get("/api/cron/process-jobs", dependencies=[Depends(require_cron)], response_model=OldJobs)
@wraps(jobs.process_jobs)
async def process_jobs(**asked: Any) -> OldJobs:
    answer = await jobs.process_jobs(**asked)
    return OldJobs(
        processed=answer.processed,
        results=[OldJob(**result.model_dump(), id=result.job_id) for result in answer.results],
    )


class OldInference(NewInference):
    """The current request, also by the names of the old function, and with unknown fields."""

    model_config = ConfigDict(extra="ignore")

    connection_id: UUID = Field(
        validation_alias=AliasChoices("connection_id", "connectionId", "conversation_id")
    )
    content: Annotated[VisibleText, visible_text("The message to send.", "Hi!")] = Field(
        validation_alias=AliasChoices("content", "message", "text")
    )
    idempotency_key: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")] | None = (
        None
    )


@router.post("/functions/v1/enqueue-inference", status_code=202, response_model=QueuedAnswer)
async def enqueue_inference(
    new: OldInference,
    user: CurrentUser,
    services: Injected,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
) -> QueuedAnswer:
    """As POST /api/inference, by the name of the function that was planned for it."""
    current = NewInference(connection_id=new.connection_id, content=new.content)
    return await inference.enqueue_inference(current, user, services, idempotency_key or new.idempotency_key)


async def require_scheduler(request: Request, services: Injected) -> None:
    """Accept what a scheduler of the old app may use: the cron secret, the service's API key, or the
    project's service role key. The anon key, which every browser has, is refused."""
    settings = services.settings
    given = bearer_token(request.headers.get("authorization"))
    secrets = (settings.cron_secret, settings.api_key, settings.supabase_service_role_key)
    if not any(same_secret(given, secret) for secret in secrets if secret is not None):
        raise UnauthorizedError("This key is not valid.")


@router.post("/functions/v1/match-generator", dependencies=[Depends(require_scheduler)])
async def generate_matches(services: Injected) -> Generated:
    """Processes the match jobs that are due, as a scheduler asked each minute; the body is ignored. The
    matcher does the same by itself."""
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


@router.post("/functions/v1/embed-generator", dependencies=[Depends(require_scheduler)])
async def generate_texts(services: Injected) -> GeneratedTexts:
    """Works on the queue of texts and their vectors, as a webhook of the old app asked; the body is
    ignored, because the queue has what there is to do. The writer does the same by itself."""
    outcomes = await services.writer.process(MAX_PROCESSED)
    return GeneratedTexts(success=True, processed=len(outcomes))
