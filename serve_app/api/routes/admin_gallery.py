"""The whole gallery, for operators."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from fastapi.responses import StreamingResponse

from db.gallery_export import GalleryExport
from serve_app.api.dependencies import Injected, Operator
from serve_app.api.responses import errors
from serve_app.api.topics import Topic
from serve_app.gallery_export import exported_files, zipped

router = Topic(prefix="/admin/gallery", tags=["admin"])


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={
        **errors(401, 403),
        200: {"description": "A ZIP archive.", "content": {"application/zip": {}}},
    },
)
async def export_gallery(_: Operator, services: Injected) -> StreamingResponse:
    """All pictures of the gallery by category, and a metadata.json: a ZIP archive, which unpacked is a folder
    that `semblance ingest` takes. An archive that breaks off is not complete; metadata.json comes last."""
    export = GalleryExport(services.database)
    await export.begin()
    archive = zipped(exported_files(export, services.storage))
    # A database or store that does not answer is an answer of its own.
    first = await anext(archive)

    async def parts() -> AsyncIterator[bytes]:
        yield first
        async for part in archive:
            yield part

    name = f"semblance-gallery-{datetime.now(UTC):%Y-%m-%d}.zip"
    return StreamingResponse(
        parts(),
        media_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )
