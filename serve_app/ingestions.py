"""Ingestions that operators start: where they may read, the job that does the work, and a look at what was
not taken."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from uuid import UUID

from obstore.exceptions import BaseError

from db.ingestions import STAGED, Ingestions
from db.pool import Connection
from semblance.errors import ForbiddenError, NotFoundError, SemblanceError
from semblance.storage.opening import open_bucket
from semblance.storage.store import Storage
from serve_app.ray_jobs import RayJobs


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


def allowed_source(source: str, roots: Sequence[str]) -> str:
    """The source, through all links. Raises ForbiddenError unless it is at or below one of the roots."""
    if not roots:
        raise ForbiddenError(
            "Folders of the server are not open to ingestions. SEMBLANCE_INGEST_ROOTS names those that are."
        )
    found = _resolved(source)
    if not _is_below(found, roots):
        raise ForbiddenError(f"Ingestions may read from {', '.join(roots)} and below.")
    return found


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
