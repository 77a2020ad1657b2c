"""Where the old app keeps its pictures, in one bucket or folder for each table, until they are copied.

A row of the old app names its picture by a path in its table's bucket; the row does not name the bucket. The
file is as its owner sent it: of any size and format, with the place where it was taken. So clients never see
the file itself, but a clean copy in the main store. The copy's key follows from the table and the path, and
the other way round, so that either can be found from the other without a look-up."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import quote, unquote

import obstore
from obstore.store import LocalStore, S3Store

from semblance.errors import ImageTooLargeError, NotFoundError
from semblance.picture_tables import PictureTable
from semblance.sizes import byte_size
from semblance.storage.failures import failures, looking_up

COPIES: Final = "old"
"""Folder of the main store for these copies."""

FULL_SUFFIX: Final = ".full.jpg"
"""How the key of a picture ends if it contains only pixels and has smaller renditions."""

_COPY = re.compile(rf"{COPIES}/(faces|celebrities|babies)/(.+){re.escape(FULL_SUFFIX)}", re.DOTALL)

_LONGEST_PATH, _LONGEST_NAME = 1024, 255
"""In bytes: an object's key in S3, and a file's name."""

_LONGEST_PART, _LONGEST = 200, 480
"""In characters: a part of a copy's key, and the whole key. File systems take 255, the store 512."""

_AWKWARD = re.compile(r"_|~|(?:^|(?<=/))[./]|/$")
"""What `quote` leaves and no key may contain, or what marks an escape: `_`, `~`, a dot or slash that begins
a part."""


@dataclass(frozen=True, slots=True)
class Original:
    """A picture as a row of the old app names it."""

    table: PictureTable
    path: str


def copy_key(original: Original) -> str:
    """The key of the copy in the main store. It contains a path of plain words unchanged; everything else is
    escaped by `_` and the hexadecimal digits of its UTF-8 bytes. A path that is too long becomes a hash, from
    which the original cannot be found."""
    escaped = _AWKWARD.sub(lambda found: f"%{ord(found[0]):02X}", quote(original.path, safe="/"))
    name = escaped.replace("%", "_")
    if not name or len(name) > _LONGEST or max(map(len, name.split("/"))) > _LONGEST_PART:
        name = f"-{hashlib.sha256(original.path.encode()).hexdigest()}"
    return f"{COPIES}/{original.table}/{name}{FULL_SUFFIX}"


def original_of(key: str) -> Original | None:
    """The original of the copy with this key in the main store; None if the key is not a copy's."""
    found = _COPY.fullmatch(key)
    if found is None:
        return None
    return Original(cast(PictureTable, found[1]), unquote(found[2].replace("_", "%"), errors="replace"))


class Location:
    """One bucket or folder of the old app. Its files are read, and removed when their owners remove them;
    nothing is ever written there.

    The methods raise StorageError if it cannot be reached or refuses. Nothing exists at a path that no store
    could hold."""

    def __init__(self, store: LocalStore | S3Store, url: str, max_bytes: int) -> None:
        """
        Args:
            max_bytes: the largest file that is read.
        """
        self.url = url
        self._store = store
        self._max_bytes = max_bytes

    async def get(self, path: str) -> bytes:
        """The file; raises NotFoundError, and ImageTooLargeError before it is read."""
        with _looking_up(path):
            found = await obstore.get_async(self._store, path)
            self._check(found.meta["size"])
            return bytes(await found.bytes_async())

    def get_sync(self, path: str) -> bytes:
        """As `get`."""
        with _looking_up(path):
            found = obstore.get(self._store, path)
            self._check(found.meta["size"])
            return bytes(found.bytes())

    async def exists(self, path: str) -> bool:
        """Whether the file exists."""
        try:
            with _looking_up(path):
                await obstore.head_async(self._store, path)
        except NotFoundError:
            return False
        return True

    async def delete(self, path: str) -> None:
        """Remove the file, if it exists."""
        try:
            with _looking_up(path):
                await obstore.delete_async(self._store, path)
        except NotFoundError:
            return

    async def probe(self) -> None:
        """List it; raises StorageError if that is not possible."""
        with failures(self.url):
            async for _ in obstore.list(self._store, chunk_size=1):
                return

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise ImageTooLargeError(f"The picture is larger than {byte_size(self._max_bytes)}.")


@contextmanager
def _looking_up(path: str) -> Iterator[None]:
    """As `looking_up`. A path that no store could hold is not found; each store says so differently."""
    parts = path.removeprefix("/").encode(errors="replace").split(b"/")
    too_long = len(path.encode(errors="replace")) > _LONGEST_PATH or max(map(len, parts)) > _LONGEST_NAME
    if too_long or not path.isprintable() or any(part in {b"", b".", b".."} for part in parts):
        raise NotFoundError("There is no picture at this path.")
    with looking_up(path):
        yield
