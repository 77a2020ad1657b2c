"""Where the old system keeps its pictures, each table's in a place of its own, until they are copied.

A row of the old system names its picture by a path in the bucket of its table, which stands nowhere in the
row. Such a file is as its owner sent it: with the place where it was taken, of any size and format. So nobody
is shown the file itself, but a clean copy of it in the main store. The copy's key follows from the table and
the path, and both from the key, so that whoever knows one of them finds the other without asking."""

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
from semblance.storage import PictureTable
from semblance.storage.failures import failures, looking_up

COPIES: Final = "old"
"""Folder of the main store for copies of pictures of the old system."""

FULL_SUFFIX: Final = ".full.jpg"
"""How the key of a picture ends that holds nothing but pixels and has its smaller ones beside it."""

_COPY = re.compile(rf"{COPIES}/(faces|celebrities|babies)/(.+){re.escape(FULL_SUFFIX)}", re.DOTALL)

_LONGEST_PATH, _LONGEST_NAME = 1024, 255
"""Bytes of an object's key in S3, and of a file's name."""

_LONGEST_PART, _LONGEST = 200, 480
"""Characters of a part and of all of a copy's key; file systems take 255, and `KEY_LENGTH` 512."""

_AWKWARD = re.compile(r"_|~|(?:^|(?<=/))[./]|/$")
"""What `quote` leaves and no key may hold, or what marks an escape: `_`, `~`, a dot or slash that begins a
part."""


@dataclass(frozen=True, slots=True)
class Original:
    """A picture as a row of the old system names it."""

    table: PictureTable
    path: str


def copy_key(original: Original) -> str:
    """The key of the copy in the main store. A path of plain words stands in it as it is; everything else is
    escaped by `_` and the hexadecimal digits of its UTF-8 bytes. One that is too long becomes a hash, from
    which its original is not found."""
    escaped = _AWKWARD.sub(lambda found: f"%{ord(found[0]):02X}", quote(original.path, safe="/"))
    name = escaped.replace("%", "_")
    if not name or len(name) > _LONGEST or max(map(len, name.split("/"))) > _LONGEST_PART:
        name = f"-{hashlib.sha256(original.path.encode()).hexdigest()}"
    return f"{COPIES}/{original.table}/{name}{FULL_SUFFIX}"


def original_of(key: str) -> Original | None:
    """What the picture with this key in the main store is a copy of; None for what is no copy."""
    found = _COPY.fullmatch(key)
    if found is None:
        return None
    return Original(cast(PictureTable, found[1]), unquote(found[2].replace("_", "%"), errors="replace"))


class Location:
    """One bucket or folder of the old system. Its files are read, and removed when their owners remove them;
    nothing is ever written there.

    The methods raise StorageError where it cannot be reached or refuses. A path that no store could hold is
    one where there is nothing."""

    def __init__(self, store: LocalStore | S3Store, url: str, max_bytes: int) -> None:
        """max_bytes: of the largest file that is read."""
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
        """Whether there is such a file."""
        try:
            with _looking_up(path):
                await obstore.head_async(self._store, path)
        except NotFoundError:
            return False
        return True

    async def delete(self, path: str) -> None:
        """Remove the file; that it is gone already is no error."""
        try:
            with _looking_up(path):
                await obstore.delete_async(self._store, path)
        except NotFoundError:
            return

    async def probe(self) -> None:
        """Look into it; raises StorageError where that is not possible."""
        with failures(self.url):
            async for _ in obstore.list(self._store, chunk_size=1):
                return

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise ImageTooLargeError(f"The picture has {size} bytes; at most {self._max_bytes} are accepted.")


@contextmanager
def _looking_up(path: str) -> Iterator[None]:
    """As `looking_up`. What no store could hold is not found; each store says that in a way of its own."""
    parts = path.removeprefix("/").encode(errors="replace").split(b"/")
    too_long = len(path.encode(errors="replace")) > _LONGEST_PATH or max(map(len, parts)) > _LONGEST_NAME
    if too_long or not path.isprintable() or any(part in {b"", b".", b".."} for part in parts):
        raise NotFoundError("There is no picture by such a path.")
    with looking_up(path):
        yield
