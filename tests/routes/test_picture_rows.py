"""A picture and its row: after a failure both exist or neither, as far as that can be known."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from db.object_deletions import ObjectDeletions
from db.pool import Database
from semblance.errors import (
    DatabaseError,
    DuplicatePictureError,
    NotFoundError,
    QueryError,
    ReferenceGoneError,
    StorageError,
)
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.storage.pictures import StoredPicture, full_key, keys_of
from semblance.storage.store import Storage
from serve_app.picture_rows import PictureRows

KEY = full_key("faces/ada/1")
PICTURE = StoredPicture(full=b"full", feed=b"feed", thumbnail=b"thumbnail", scale=1.0)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(Settings(home=tmp_path))


@pytest.fixture
def rows(storage: Storage, database: Database) -> PictureRows:
    return PictureRows(storage, ObjectDeletions(database))


async def files(storage: Storage) -> list[bool]:
    return [await storage.exists(key) for key in keys_of(KEY)]


async def test_the_row_is_inserted_when_its_picture_is_there(rows: PictureRows, storage: Storage) -> None:
    async def insert() -> str:
        assert all(await files(storage))
        return "row"

    assert await rows.add(KEY, PICTURE, insert) == "row"


@pytest.mark.parametrize(
    ("failure", "stays"),
    [
        (DuplicatePictureError(), False),
        (NotFoundError("The match is gone."), False),
        (ReferenceGoneError("The user is gone."), False),
        (DatabaseError("The connection broke."), True),
        (QueryError("A constraint."), True),
        (asyncio.CancelledError(), True),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_picture_stays_where_its_row_may_be(
    rows: PictureRows, storage: Storage, failure: BaseException, stays: bool
) -> None:
    async def insert() -> None:
        raise failure

    with pytest.raises(type(failure)):
        await rows.add(KEY, PICTURE, insert)
    assert set(await files(storage)) == {stays}


async def test_half_a_picture_gets_no_row(
    rows: PictureRows, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Storage.put

    async def no_thumbnail(self: Storage, key: str, data: bytes, kind: str) -> None:
        if "thumbnail" in key:
            raise StorageError("The disk is gone.")
        await put(self, key, data, kind)

    async def insert() -> None:
        raise AssertionError("There is no whole picture.")

    monkeypatch.setattr(Storage, "put", no_thumbnail)
    with pytest.raises(StorageError):
        await rows.add(KEY, PICTURE, insert)
    assert not any(await files(storage))
