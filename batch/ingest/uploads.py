"""What operators uploaded, as the source of an ingestion: files in the picture store under keys that say
nothing, with the paths that their rows name."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from itertools import groupby, islice
from uuid import UUID, uuid4

from batch.ingest.archives import ArchiveLimits, Member, members
from batch.ingest.entries import BadEntry, BadOutcome
from batch.ingest.exclusions import Exclusions
from batch.ingest.folders import METADATA_FILE, FoundFile, folder_entries
from batch.ingest.sources import Listing
from db.ingestions import MOST_FILES, STAGED, STAGING, Ingestions, UploadedFile
from semblance.errors import SourceError
from semblance.settings import Settings
from semblance.storage.store import Storage

_ROWS = 50
"""Members whose rows are written together."""


async def unpack(ingestion_id: UUID, ingestions: Ingestions, storage: Storage, settings: Settings) -> None:
    """Put the members of uploaded archives into the store, each with a row, then remove the archives. Killed
    at any point, it begins again with the archive it was at.

    Raises SourceError for what is no ZIP archive or too large, StorageError, DatabaseError.
    """
    files = await ingestions.files(ingestion_id)
    for number, group in groupby(files, key=lambda file: file.number):
        here = list(group)
        parts = [file for file in here if file.kind == "part"]
        if not parts:
            continue
        known = {file.place for file in here if file.kind == "member"}
        limits = ArchiveLimits(MOST_FILES, settings.max_image_bytes, settings.max_ingestion_bytes)
        with tempfile.TemporaryFile() as archive:
            for part in sorted(parts, key=lambda file: file.place):
                archive.write(await storage.get(part.key or ""))
            found = members(archive, parts[0].path, limits)
            stored = (_store(member, ingestion_id, storage) for member in found if member.place not in known)
            while some := await asyncio.to_thread(list, islice(stored, _ROWS)):
                await ingestions.add_members(ingestion_id, number, some)
        await ingestions.remove_parts(ingestion_id, number)


def _store(member: Member, ingestion_id: UUID, storage: Storage) -> UploadedFile:
    key = None
    if member.data is not None:
        key = f"{STAGING}/{ingestion_id}/{uuid4().hex}"
        storage.put_sync(key, member.data, "application/octet-stream")
    size = 0 if member.data is None else len(member.data)
    return UploadedFile(0, "member", member.place, member.path, size, key, member.outcome, member.reason)


async def uploaded_listing(
    files: Sequence[UploadedFile], storage: Storage, default_category: str | None
) -> Listing:
    """The entries of uploaded files, as of a folder with these paths. Raises SourceError if there are none,
    or if metadata.json is malformed, and StorageError."""
    exclusions = Exclusions()
    found: list[FoundFile | BadEntry] = []
    metadata: bytes | None = None
    for file in files:
        if file.path == METADATA_FILE and file.key is not None:
            metadata = await storage.get(file.key)
        elif exclusions.leaves_out(file.path):
            continue
        elif file.key is None:
            outcome: BadOutcome = "too_large" if file.outcome == "too_large" else "unreadable"
            found.append(BadEntry(file.path, file.reason or "", outcome))
        else:
            found.append(FoundFile(file.path, STAGED + file.key))
    entries, remarks = folder_entries("", found, metadata, default_category, exclusions)
    if not entries:
        raise SourceError("There are no pictures among the uploaded files.")
    return Listing(entries, remarks, dict(exclusions.counts))
