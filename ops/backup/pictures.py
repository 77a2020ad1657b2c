"""The pictures of a store into the pool of an archive, and back. A picture that the pool has is not copied
again."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import mimetypes
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

from ops.backup.archive import DIGEST, MOST_SMALL, Archive, Opener, Sealer, read_small
from ops.storage.sweep import FOLDERS
from semblance.errors import BadInputError, NotFoundError
from semblance.files import write_file
from semblance.storage.store import Storage, StoredObject

_AT_ONCE: Final = 16
"""Requests to the store at the same time."""

_MOST_LINE: Final = 64 * 1024
"""Bytes of a line of the list of pictures, more than a key has in any store."""

_DAMAGED: Final = "The backup's list of pictures is damaged."


@dataclass(frozen=True, slots=True)
class PooledPicture:
    """A picture of the store. name: in the pool. sha256: of its bytes."""

    key: str
    name: str
    sha256: str

    def line(self) -> bytes:
        return json.dumps([self.key, self.name, self.sha256]).encode() + b"\n"

    @classmethod
    def of(cls, line: bytes) -> Self:
        """Raises BadInputError for a line that `line` did not write: its name could lead out of the pool."""
        try:
            picture = cls(*json.loads(line))
            known = re.fullmatch("[0-9a-f]{64}", picture.name) is not None and isinstance(picture.key, str)
        except (TypeError, ValueError, RecursionError) as exc:
            raise BadInputError(_DAMAGED) from exc
        if not known:
            raise BadInputError(_DAMAGED)
        return picture


def listed(lines: gzip.GzipFile, count: int) -> Iterator[PooledPicture]:
    """The pictures of a list, one after the other: a list of millions needs no memory, and neither does a
    packed one that others have made endless. Raises BadInputError for a damaged line, and if they are not
    `count`."""
    found = 0
    while line := lines.readline(_MOST_LINE):
        found += 1
        if found > count or not line.endswith(b"\n"):
            raise BadInputError(_DAMAGED)
        yield PooledPicture.of(line)
    if found != count:
        raise BadInputError(_DAMAGED)


class PicturePool:
    """Copies pictures between a store and an archive."""

    def __init__(self, archive: Archive, storage: Storage, max_image_bytes: int) -> None:
        self._archive, self._storage = archive, storage
        # Twice, for what sealing adds, and for a limit that was somewhat higher when the backup was made.
        self._most = max(MOST_SMALL, 2 * max_image_bytes)
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def copy_all(
        self, sealer: Sealer, found: dict[str, PooledPicture], advance: Callable[[int], None]
    ) -> int:
        """Add to `found`, by key, all pictures that the store has and that are not in it unchanged; returns
        how many had to be copied. One that is deleted meanwhile is left out.

        Raises StorageError.
        """
        copied = 0
        async for batch in self._listed():
            outcomes = await asyncio.gather(*(self._copy(sealer, each, found) for each in batch))
            copied += sum(outcomes)
            advance(len(batch))
        return copied

    async def _listed(self) -> AsyncIterator[list[StoredObject]]:
        for folder in FOLDERS:
            async for batch in self._storage.objects(folder):
                yield batch

    async def _copy(self, sealer: Sealer, each: StoredObject, found: dict[str, PooledPicture]) -> bool:
        name = _name(each, sealer.readers)
        if (known := found.get(each.key)) is not None and known.name == name:
            return False
        target = self._archive.picture(name)
        digest = target.with_name(f"{name}{DIGEST}")
        if target.exists() and digest.exists():
            found[each.key] = PooledPicture(each.key, name, digest.read_text(encoding="ascii"))
            return False
        async with self._turns:
            try:
                data = await self._storage.get(each.key)
            except NotFoundError:
                return False
        sha256 = hashlib.sha256(data).hexdigest()
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(target, sealer.seal(data))
        write_file(digest, sha256)
        found[each.key] = PooledPicture(each.key, name, sha256)
        return True

    async def restore(
        self,
        pictures: Iterable[PooledPicture],
        opener: Opener,
        *,
        sealed: bool,
        advance: Callable[[int], None],
    ) -> None:
        """Put pictures back under their keys. Raises BadInputError for a picture that is missing or damaged,
        StorageError if the store fails."""
        tasks: set[asyncio.Task[None]] = set()
        try:
            for picture in pictures:
                if len(tasks) >= _AT_ONCE:
                    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                    _raise_first(done)
                    tasks = pending
                tasks.add(asyncio.create_task(self._put(picture, opener, sealed=sealed)))
                advance(1)
            await asyncio.gather(*tasks)
        finally:
            # A full store fails many at once; asyncio prints the traceback of each that nobody asks about.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _put(self, picture: PooledPicture, opener: Opener, *, sealed: bool) -> None:
        try:
            stored = read_small(self._archive.picture(picture.name), self._most)
        except FileNotFoundError as exc:
            raise BadInputError(f"The backup lacks the picture {picture.key}.") from exc
        data = opener.open(stored, sealed=sealed)
        if hashlib.sha256(data).hexdigest() != picture.sha256:
            raise BadInputError(f"The backup's picture {picture.key} is damaged.")
        kind = mimetypes.guess_type(picture.key)[0] or "application/octet-stream"
        await self._storage.put(picture.key, data, kind)


def _raise_first(done: set[asyncio.Task[None]]) -> None:
    for task in done:
        task.result()


def _name(each: StoredObject, readers: Sequence[str]) -> str:
    """The same for the same file and the same recipients: pictures are replaced as a whole, if at all, and
    new recipients cannot open what was sealed for others."""
    state = [each.key, str(each.size), each.last_modified.isoformat(), str(bool(readers)), *readers]
    return hashlib.sha256("\n".join(state).encode()).hexdigest()
