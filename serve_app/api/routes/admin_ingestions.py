"""Pictures that operators add to the gallery: uploaded, or named on the server."""

from __future__ import annotations

import asyncio
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import Query, Response, status

from db.ingestions import STAGING, NewFile
from semblance.errors import BadInputError, SemblanceError
from semblance.paths import relative_path
from serve_app.api.cursors import Cursor, encode_cursor, place_by_time
from serve_app.api.dependencies import Injected, Operator, SentFile
from serve_app.api.responses import BODY, errors
from serve_app.api.services import Services
from serve_app.api.topics import Topic
from serve_app.ingestions import allowed_source, read_refused, start
from serve_app.schemas.admin_ingestions import (
    DecidedAnswer,
    IngestionAnswer,
    IngestionDecision,
    IngestionDetails,
    IngestionsAnswer,
    NewIngestion,
    RefusalAnswer,
    RefusalsAnswer,
)
from serve_app.schemas.patterns import STORABLE

router = Topic(prefix="/admin/ingestions", tags=["admin"])

Limit = Annotated[int, Query(ge=1, le=200)]
MOST_PARTS = 10_000


@router.get("", responses=errors(400, 401, 403))
async def list_ingestions(
    _: Operator, services: Injected, limit: Limit = 50, cursor: Cursor = None
) -> IngestionsAnswer:
    """Ingestions that were started here, the latest first, and where new ones may read from."""
    await services.ray_jobs.refresh()
    page = await services.db.ingestions.page(limit, place_by_time(cursor))
    return IngestionsAnswer(
        ingestions=[IngestionAnswer.of(row) for row in page.items],
        next_cursor=encode_cursor(page.next),
        roots=list(services.settings.ingest_roots),
        part_bytes=services.settings.max_image_bytes,
        upload_bytes=services.settings.max_ingestion_bytes,
    )


@router.post("", status_code=status.HTTP_201_CREATED, responses=errors(401, 403, 409, *BODY))
async def create_ingestion(_: Operator, body: NewIngestion, services: Injected) -> IngestionAnswer:
    """An ingestion of a folder or bucket, which starts at once, or one for files that are uploaded next. 403
    for a source outside of the allowed ones, 409 while too many are open."""
    source = body.source
    if source is not None:
        source = await asyncio.to_thread(allowed_source, source, services.settings.ingest_roots)
    created = await services.db.ingestions.create(source, body.category)
    if source is not None:
        try:
            await start(services.db.ingestions, services.ray_jobs, created)
        except SemblanceError:
            await services.db.ingestions.discard(created)
            raise
    return await _answer(services, created)


@router.get("/{ingestion_id}", responses=errors(401, 403, 404))
async def read_ingestion(ingestion_id: UUID, _: Operator, services: Injected) -> IngestionDetails:
    """An ingestion, and how many pictures of it wait for a decision, by reason."""
    await services.ray_jobs.refresh()
    return IngestionDetails(
        ingestion=await _answer(services, ingestion_id),
        reasons=await services.db.ingestions.refusal_counts(ingestion_id),
    )


@router.put(
    "/{ingestion_id}/files/{number}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=errors(401, 403, 404, 409, *BODY),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def upload_ingestion_file(  # noqa: PLR0917 - FastAPI names them
    ingestion_id: UUID,
    number: Annotated[int, "Counts the files of this upload; the same number again replaces the file."],
    _: Operator,
    data: SentFile,
    services: Injected,
    name: Annotated[
        str,
        Query(min_length=1, max_length=4096, description="Its path below the dropped folder, or its name."),
    ],
    part: Annotated[int, Query(ge=0, lt=MOST_PARTS, description="Of an archive sent in parts, from 0.")] = 0,
    parts: Annotated[
        int | None, Query(ge=1, le=MOST_PARTS, description="How many parts the archive has.")
    ] = None,
) -> None:
    """Add a picture, metadata.json, or a ZIP archive of both to an ingestion that is not started. An archive
    has a name that ends in `.zip`; one that is larger than `part_bytes` is sent in parts of at most that."""
    path = relative_path(name)
    if not path or not 0 <= number < 2**31:
        raise BadInputError("Name the file, and give it a number from 0 on.")
    if path.lower().endswith(".zip"):
        parts = parts or 1
    elif parts is not None:
        raise BadInputError("Only ZIP archives are sent in parts.")
    if parts is not None and part >= parts:
        raise BadInputError("The parts are counted from 0, so the last is one less than their number.")
    # Refused before it is stored; again with its row.
    row = await services.db.ingestions.get(ingestion_id)
    key = f"{STAGING}/{ingestion_id}/{uuid4().hex}"
    if row.state == "receiving":
        await services.storage.put(key, data, "application/octet-stream")
    try:
        file = NewFile(number, path, len(data), key, part, parts)
        await services.db.ingestions.add_file(ingestion_id, file, services.settings.max_ingestion_bytes)
    except SemblanceError:
        await services.db.object_deletions.discard(services.storage, key)
        raise


@router.post("/{ingestion_id}/start", responses=errors(401, 403, 404, 409))
async def start_ingestion(ingestion_id: UUID, _: Operator, services: Injected) -> IngestionAnswer:
    """Start an ingestion whose files are uploaded, or continue one that failed or has decisions to carry
    out. One whose job died goes on by itself, up to five times a day. 409 while a job works on it or an
    archive is not complete, 503 if Ray does not answer."""
    await start(services.db.ingestions, services.ray_jobs, ingestion_id)
    return await _answer(services, ingestion_id)


@router.delete(
    "/{ingestion_id}", status_code=status.HTTP_204_NO_CONTENT, responses=errors(401, 403, 404, 409)
)
async def discard_ingestion(ingestion_id: UUID, _: Operator, services: Injected) -> None:
    """Settle an ingestion: its files and the pictures that were not taken are discarded; what was taken stays
    in the gallery. 409 while a job works on it."""
    await services.db.ingestions.discard(ingestion_id)


@router.get("/{ingestion_id}/refusals", responses=errors(400, 401, 403, 404))
async def list_ingestion_refusals(
    ingestion_id: UUID,
    _: Operator,
    services: Injected,
    outcome: Annotated[
        str | None, Query(max_length=40, pattern=STORABLE, description="Only of this outcome.")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> RefusalsAnswer:
    """Pictures that were not taken and wait for a decision, in the order in which they came."""
    page = await services.db.ingestions.refusals(ingestion_id, outcome, limit, place_by_time(cursor))
    return RefusalsAnswer(
        refusals=[RefusalAnswer.of(refusal) for refusal in page.items], next_cursor=encode_cursor(page.next)
    )


@router.get(
    "/{ingestion_id}/refusals/{refusal_id}/picture",
    response_class=Response,
    responses={**errors(401, 403, 404), 200: {"content": {"image/jpeg": {}}}},
)
async def read_refused_picture(
    ingestion_id: UUID, refusal_id: UUID, _: Operator, services: Injected
) -> Response:
    """A picture that was not taken, as the gallery would store it, with a long side of at most 1080
    pixels."""
    settings = services.settings
    refusal = await services.db.ingestions.refusal(ingestion_id, refusal_id)
    location = (refusal.item or {}).get("location", "")
    data = await read_refused(location, services.storage, settings.ingest_roots, settings.max_image_bytes)
    # Files are only shown as they are rendered: what was uploaded may be anything.
    picture = await services.faces.render(data)
    return Response(picture.feed, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"})


@router.post("/{ingestion_id}/decisions", responses=errors(401, 403, 404, 409, *BODY))
async def decide_ingestion_refusals(
    ingestion_id: UUID, body: IngestionDecision, _: Operator, services: Injected
) -> DecidedAnswer:
    """Decide on pictures that were not taken. All but discarding is done by a Ray job, which starts unless
    one works on this ingestion. If it cannot start, the decisions stay, and one that starts later carries
    them out."""
    decided, to_start = await services.db.ingestions.decide(
        ingestion_id, body.decision, body.ids, body.outcome
    )
    if to_start:
        await start(services.db.ingestions, services.ray_jobs, ingestion_id)
    return DecidedAnswer(decided=decided, ingestion=await _answer(services, ingestion_id))


async def _answer(services: Services, ingestion_id: UUID) -> IngestionAnswer:
    return IngestionAnswer.of(await services.db.ingestions.get(ingestion_id))
