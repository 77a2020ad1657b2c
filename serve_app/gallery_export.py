"""The gallery as files that an ingestion takes: pictures by category, and a metadata.json.

Of the pictures only some are in memory at a time, beside their entries of metadata.json.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import zipfile
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

from db.gallery_export import GalleryExport, GalleryPicture
from semblance.errors import BadInputError, ImageTooLargeError, NotFoundError
from semblance.storage.pictures import read_picture
from semblance.storage.store import Storage

METADATA = "metadata.json"

_AT_ONCE = 8
"""Pictures read at the same time."""

_LONGEST_WORDS = 60
"""Characters of a file's name besides the id: some file systems take 143 bytes."""

_SUFFIX = re.compile(r"\.[a-z0-9]{1,5}$")


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file of an export. path: relative, with slashes."""

    path: str
    data: bytes


async def exported_files(export: GalleryExport, storage: Storage) -> AsyncIterator[ExportedFile]:
    """Every picture of the gallery, then metadata.json. A picture whose file is missing is listed there under
    `left_out`.

    Raises DatabaseError and StorageError.
    """
    entries: list[str] = []
    left_out: list[str] = []
    async for pictures in _some(export.pictures()):
        files = await asyncio.gather(*(_read(storage, picture) for picture in pictures))
        for picture, data in zip(pictures, files, strict=True):
            if data is None:
                left_out.append(picture.image_path)
                continue
            path = path_of(picture)
            entries.append(json.dumps(_entry(picture, path), ensure_ascii=False))
            yield ExportedFile(path, data)
    lines = ",\n".join(entries)
    missing = f',\n"left_out": {json.dumps(left_out)}' if left_out else ""
    yield ExportedFile(METADATA, f'{{"celebrities": [\n{lines}\n]{missing}}}\n'.encode())


async def zipped(files: AsyncIterable[ExportedFile]) -> AsyncIterator[bytes]:
    """The files as parts of a ZIP archive, which are not compressed: pictures are already."""
    sent = _Sent()
    now = datetime.now(UTC).timetuple()[:6]
    with zipfile.ZipFile(sent, "w") as archive:
        async for file in files:
            archive.writestr(zipfile.ZipInfo(file.path, now), file.data)
            yield sent.take()
    yield sent.take()


def path_of(picture: GalleryPicture) -> str:
    """Where a picture is in an export: names are for people, metadata.json says everything.

    Only letters, digits and hyphens, so that no file system or ingestion takes a name for something else.
    """
    found = _SUFFIX.search(picture.image_path.lower())
    name = "-".join(filter(None, [_words(picture.name), picture.id.hex])) + (found[0] if found else "")
    # Without a category no folder, whose name would be one.
    return name if picture.category is None else f"{_words(picture.category) or 'category'}/{name}"


def _words(text: str) -> str:
    return re.sub(r"[\W_]+", "-", text.lower()).strip("-")[:_LONGEST_WORDS].strip("-")


def _entry(picture: GalleryPicture, path: str) -> dict[str, str]:
    """Its entry of metadata.json. It was in the gallery, so it is taken again with any quality."""
    fields = {
        "filename": path,
        "name": picture.name,
        "bio": picture.bio,
        "category": picture.category,
        "gender": picture.gender,
        "person": str(picture.person),
        "image_hash": picture.image_hash,
        "accept": "any",
    }
    return {name: value for name, value in fields.items() if value is not None}


async def _read(storage: Storage, picture: GalleryPicture) -> bytes | None:
    try:
        return await read_picture(storage, "celebrities", picture.image_path)
    except (NotFoundError, BadInputError, ImageTooLargeError):
        # Adopted rows may name pictures of another host, which are not in the store.
        return None


async def _some(pictures: AsyncIterable[GalleryPicture]) -> AsyncIterator[list[GalleryPicture]]:
    some: list[GalleryPicture] = []
    async for picture in pictures:
        some.append(picture)
        if len(some) == _AT_ONCE:
            yield some
            some = []
    if some:
        yield some


class _Sent:
    """A file of which only the end is in memory: the entry that is being written, whose sizes are filled in
    when it is complete."""

    def __init__(self) -> None:
        self._start = 0
        self._end = io.BytesIO()

    def take(self) -> bytes:
        """What was written since, which then no longer changes."""
        data = self._end.getvalue()
        self._start += len(data)
        self._end = io.BytesIO()
        return data

    def write(self, data: bytes, /) -> int:
        return self._end.write(data)

    def tell(self) -> int:
        return self._start + self._end.tell()

    def seek(self, offset: int, /) -> int:
        return self._start + self._end.seek(offset - self._start)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass
