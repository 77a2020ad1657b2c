"""Pictures out of a ZIP archive that somebody uploaded.

Nothing an archive says about itself is believed: not the number of its members, not their sizes. No name in
it becomes the name of a file. What is unpacked is counted while it is, one member at a time.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

from batch.ingest.exclusions import Exclusions
from batch.ingest.folders import METADATA_BYTES, METADATA_FILE
from semblance.errors import SourceError
from semblance.paths import relative_path
from semblance.sizes import byte_size

DIRECTORY_BYTES: Final = 16 * 1024 * 1024
"""Largest list of members, which is read at once; each takes a kilobyte of memory at most."""

MOST_EXPANDED: Final = 20
"""Bytes out of one byte of an archive. Photos give one, uncompressed drawings ten."""

_SLACK: Final = 16 * 1024 * 1024
"""Bytes out of an archive of any size."""

_END: Final = struct.Struct("<4s4H2LH")
_LOCATOR_BYTES: Final = 20
_MOST_COMMENT: Final = 65_535


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive. place: in the archive's list. path: as the archive calls it, with slashes and
    without what leads out of it. data: None if it could not be taken out, with the outcome and the reason."""

    place: int
    path: str
    data: bytes | None
    outcome: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """files: most members. file_bytes: of one, unless it is metadata.json. total_bytes: of all."""

    files: int
    file_bytes: int
    total_bytes: int


def members(file: BinaryIO, name: str, limits: ArchiveLimits) -> Iterator[Member]:
    """The files in an archive, in its order, without those that an ingestion of a folder leaves out. A single
    top folder is left out of the paths if metadata.json is in it.

    Args:
        file: the archive, seekable.
        name: of it, for errors.

    Raises SourceError if it is no ZIP archive or breaks the limits as a whole, also in between.
    """
    size = file.seek(0, os.SEEK_END)
    _check_end(file, size, name)
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as exc:
        raise SourceError(f"{name} is not a ZIP archive, or it is damaged: {exc}.") from exc
    infos = archive.infolist()
    if len(infos) > limits.files:
        raise SourceError(
            f"{name} holds {len(infos):,} files; an upload has at most {limits.files:,}. Make several of it."
        )
    most = min(limits.total_bytes, MOST_EXPANDED * size + _SLACK)
    paths = _paths(infos)
    exclusions = Exclusions()
    total = 0
    for place, (info, path) in enumerate(zip(infos, paths, strict=True)):
        if info.is_dir() or not path or exclusions.leaves_out(path):
            continue
        member = _read(archive, info, place, path, limits.file_bytes)
        # What was too large was unpacked up to the limit.
        total += limits.file_bytes if member.data is None else len(member.data)
        if total > most:
            raise SourceError(
                f"{name} unpacks to more than {byte_size(most)}, which is too much for its size or for one "
                "upload (SEMBLANCE_MAX_INGESTION_BYTES). Make several of it."
            )
        yield member


def _paths(infos: Sequence[zipfile.ZipInfo]) -> list[str]:
    paths = [relative_path(info.filename) for info in infos]
    metadata = [path for path in paths if path.rpartition("/")[2] == METADATA_FILE]
    top = min(metadata, key=lambda path: path.count("/"), default="").rpartition("/")[0]
    if not top or "/" in top:
        return paths
    inside = [path == top or path.startswith(f"{top}/") for path in paths]
    return [path[len(top) + 1 :] for path in paths] if all(inside) else paths


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, place: int, path: str, limit: int) -> Member:
    if path == METADATA_FILE:
        limit = max(limit, METADATA_BYTES)
    if info.flag_bits & 0x1:
        return Member(place, path, None, "unreadable", "it is encrypted")
    # Others may be unpacked only with a memory that the archive itself states.
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        return Member(place, path, None, "unreadable", "it is compressed in a way other than deflate")
    try:
        with archive.open(info) as file:
            data = file.read(limit + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as exc:
        return Member(place, path, None, "unreadable", f"it is damaged: {exc}")
    if len(data) > limit:
        return Member(place, path, None, "too_large", f"it is larger than {byte_size(limit)}")
    return Member(place, path, data)


def _check_end(file: BinaryIO, size: int, name: str) -> None:
    """Refuse an archive whose list of members would fill the memory, before it is read. The list's end is
    looked for as `zipfile` does."""
    tail_size = min(size, _END.size + _MOST_COMMENT + 1)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    start = len(tail) - _END.size
    if start < 0 or not (tail[start : start + 4] == b"PK\5\6" and tail.endswith(b"\0\0")):
        start = tail.rfind(b"PK\5\6")
    if start < 0 or start + _END.size > len(tail):
        raise SourceError(f"{name} is not a ZIP archive, or it is not complete.")
    directory = _END.unpack_from(tail, start)[5]
    locator = tail[max(0, start - _LOCATOR_BYTES) : start]
    if directory > DIRECTORY_BYTES or locator.startswith(b"PK\6\7"):
        raise SourceError(f"{name} lists too many files for one upload. Make several archives of it.")
