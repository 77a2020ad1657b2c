"""Ingestions that operators start: where they may read, the job that does the work, and a look at what was
not taken."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit
from uuid import UUID

from obstore.exceptions import BaseError

from db.ingestions import STAGED, Ingestions
from db.pool import Connection
from semblance.errors import ConflictError, ForbiddenError, NotFoundError, SemblanceError
from semblance.storage.opening import open_bucket
from semblance.storage.store import Storage
from serve_app.ray_jobs import RayJobs
from serve_app.schemas.ray_jobs import IngestRequest, QdrantRequest, RayJobRequest

logger = logging.getLogger(__name__)

LOOKED_FOR_EVERY_S: Final = 10.0
"""How often ingestions are looked for whose job died."""


@dataclass(frozen=True, slots=True)
class IngestionJob:
    """The Ray job of an ingestion: an ingestion whose source and options are in its row."""

    ingestion_id: UUID
    kind: Literal["ingest"] = "ingest"

    def arguments(self) -> list[str]:
        """Of `python -m batch.ingest`."""
        return ["--", f"ingestion:{self.ingestion_id}"]


async def start(ingestions: Ingestions, ray_jobs: RayJobs, ingestion_id: UUID) -> None:
    """Start or continue an ingestion. Raises ConflictError while files are missing, another job works on it
    or too many jobs are open, and NotReadyError without Ray."""
    await ingestions.check_complete(ingestion_id)

    async def claim(connection: Connection, job_id: UUID) -> None:
        await ingestions.claim(connection, ingestion_id, job_id)

    await ray_jobs.submit(IngestionJob(ingestion_id), claim)


async def continue_dead(ingestions: Ingestions, ray_jobs: RayJobs) -> None:
    """Continue ingestions whose job died, and those with decisions for which none could start.

    Every replica of the API does this; the claim lets one of them start the job. Raises nothing: what cannot
    be continued now is tried again.
    """
    try:
        await ray_jobs.refresh()
        due = await ingestions.to_continue()
    except SemblanceError as exc:
        logger.warning("cannot look for ingestions whose job died: %s", exc.message)
        return
    for ingestion_id in due:
        try:
            await start(ingestions, ray_jobs, ingestion_id)
        except ConflictError:
            # Another replica or an operator was quicker, or too many jobs are open.
            continue
        except SemblanceError as exc:
            logger.warning("ingestion %s is continued later: %s", ingestion_id, exc.message)
            continue
        logger.warning("ingestion %s goes on: its job had died", ingestion_id)


async def keep_continuing(
    ingestions: Ingestions, ray_jobs: RayJobs, every: float = LOOKED_FOR_EVERY_S
) -> None:
    """Do `continue_dead` until cancelled."""
    while True:
        await continue_dead(ingestions, ray_jobs)
        await asyncio.sleep(every)


def allowed_source(source: str, roots: Sequence[str]) -> str:
    """The source, through all links. Raises ForbiddenError unless it is at or below one of the roots."""
    if not roots:
        raise ForbiddenError(
            "Folders of the server and buckets are closed to jobs that are started over HTTP. "
            "SEMBLANCE_INGEST_ROOTS names those that are open; `semblance ingest` reads any."
        )
    found = _resolved(source)
    if not _is_below(found, roots):
        raise ForbiddenError(
            f"Jobs that are started over HTTP may read from {', '.join(roots)} and below "
            "(SEMBLANCE_INGEST_ROOTS)."
        )
    return found


def allowed_job(job: RayJobRequest, roots: Sequence[str]) -> RayJobRequest:
    """The job, with the place that it reads from through all links. Raises ForbiddenError as
    `allowed_source` does."""
    match job:
        case IngestRequest():
            return job.model_copy(update={"source": allowed_source(job.source, roots)})
        case QdrantRequest() if job.url.startswith("/"):
            return job.model_copy(update={"url": allowed_source(job.url, roots)})
        case _:
            return job


async def read_refused(location: str, storage: Storage, roots: Sequence[str], limit: int) -> bytes:
    """The file of a picture that was not taken. Raises NotFoundError if it is gone, too large or not at a
    place where ingestions may read."""
    if location.startswith(STAGED):
        return await storage.get(location.removeprefix(STAGED))
    found = await asyncio.to_thread(_resolved, location)
    if not _is_below(found, roots):
        raise NotFoundError("Pictures from there are not shown.")
    read = _read_bucket if found.startswith("s3://") else _read_file
    try:
        return await asyncio.to_thread(read, found, limit)
    except (OSError, BaseError, SemblanceError) as exc:
        raise NotFoundError("The picture is not there any more, or it cannot be read.") from exc


def _resolved(source: str) -> str:
    if source.startswith("s3://"):
        return source.rstrip("/")
    return os.path.realpath(source)


def _is_below(source: str, roots: Sequence[str]) -> bool:
    if source.startswith("s3://"):
        above = [root.rstrip("/") for root in roots if root.startswith("s3://")]
        # The bucket's library takes parts of dots literally, but not every server does.
        parts = urlsplit(source).path.split("/")
        return ".." not in parts and any(source == root or source.startswith(f"{root}/") for root in above)
    folders = [os.path.realpath(root) for root in roots if root.startswith("/")]
    return any(Path(source).is_relative_to(folder) for folder in folders)


def _read_file(path: str, limit: int) -> bytes:
    # A pipe or device is not waited for, and not read.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("not a file")
        return _whole(file.read(limit + 1), limit)


def _read_bucket(url: str, limit: int) -> bytes:
    base, _, name = url.rpartition("/")
    return _whole(bytes(open_bucket(base).get_range(name, start=0, length=limit + 1)), limit)


def _whole(data: bytes, limit: int) -> bytes:
    if len(data) > limit:
        raise OSError("too large")
    return data
