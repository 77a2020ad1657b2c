"""A gallery that is kept in a file is ready at once, the same as one that was read, and never out of date."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from db import copy_arrays
from db.pool import Database
from matching import gallery, gallery_arrays
from matching.gallery import Gallery, GalleryQuery
from matching.gallery_arrays import GalleryArrays
from matching.gallery_file import FORMAT, UnusableFileError, mapped, written
from semblance.weights import Weights
from tests.support.rows import DIGEST
from tests.support.rows_matching import add_celebrities, famous, varied
from tests.support.waiting import PATIENCE_S

PROBE: dict[str, Any] = {"embedding": famous(1).embedding, "age": 30, "expression": "happy"}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small gallery then has many blocks, the last one partly filled."""
    monkeypatch.setattr(gallery_arrays, "BLOCK", 64)
    monkeypatch.setattr(copy_arrays, "ROWS", 64)


class Counted(Gallery):
    """Counts how often it reads everything."""

    complete = 0

    async def _read(self, ids: list[UUID] | None) -> None:
        self.complete += ids is None
        await super()._read(ids)


async def ready(database: Database, folder: Path | None) -> Counted:
    found = Counted(database, DIGEST, folder)
    await found.refresh()
    return found


def happy(found: Gallery) -> set[UUID]:
    """All with the expression of the probe."""
    (listed,) = found.shortlists([GalleryQuery(PROBE, None)], Weights(0, 0, 0, 0, 0, 1), 0.0)
    return set(listed)


def best(found: Gallery) -> list[set[UUID]]:
    queries = [GalleryQuery(PROBE, "female"), GalleryQuery(PROBE, None, "athletes")]
    return [set(listed) for listed in found.shortlists(queries, Weights(), 0.3)]


async def test_a_restart_begins_with_the_file_and_follows_what_has_changed(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery, "SAVE_CHANGES", 20)
    await add_celebrities(database, *varied(200))
    first = await ready(database, tmp_path)
    assert (first.complete, len(first)) == (1, 200)
    path = tmp_path / f"{DIGEST}.gallery"
    written_first = path.read_bytes()

    # Others of the machine map the same file; what one of them changes, the others do not see.
    await database.execute("DELETE FROM celebrities WHERE id IN (SELECT id FROM celebrities LIMIT 5)")
    await database.execute(
        "UPDATE celebrities SET gender = 'female' WHERE id IN (SELECT id FROM celebrities LIMIT 5)"
    )
    (added,) = await add_celebrities(database, famous(1000))
    second = await ready(database, tmp_path)
    assert (second.complete, len(second), len(first)) == (0, 196, 200)
    assert path.read_bytes() == written_first
    assert added in happy(second)
    await first.refresh()
    fresh = await ready(database, None)
    assert best(second) == best(first) == best(fresh)
    assert happy(second) == happy(fresh)

    # After many changes it is written again.
    await database.execute(
        "UPDATE celebrities SET age = 20 WHERE id IN (SELECT id FROM celebrities LIMIT 60)"
    )
    await second.refresh()
    assert path.read_bytes() != written_first
    third, fresh = await ready(database, tmp_path), await ready(database, None)
    assert (third.complete, third._changed) == (0, 0)
    assert best(third) == best(second) == best(fresh)


async def test_of_many_processes_one_writes_the_file_and_the_others_take_it(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_celebrities(database, *varied(100))
    first, second = await ready(database, tmp_path), await ready(database, tmp_path)
    (added,) = await add_celebrities(database, famous(1000))
    monkeypatch.setattr(gallery, "SAVE_HOURS", -1)
    await first.refresh()
    path = tmp_path / f"{DIGEST}.gallery"
    content = path.read_bytes()
    monkeypatch.setattr(gallery, "SAVE_HOURS", 6)
    monkeypatch.setattr(second, "_saved_at", second._saved_at - 7 * 3600)
    await add_celebrities(database, famous(1001))
    await second.refresh()
    assert path.read_bytes() == content
    assert (second.complete, len(second)) == (0, 102)
    assert happy(second) == happy(await ready(database, None)) >= {added}


async def test_a_file_that_cannot_be_used_is_replaced(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await add_celebrities(database, *varied(70))
    await ready(database, tmp_path)
    path = tmp_path / f"{DIGEST}.gallery"
    whole = path.read_bytes()
    middle = len(whole) // 2
    damaged = [
        b"",
        b"{}\n",
        whole[:middle],
        whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        whole.replace(b'"format": %d' % FORMAT, b'"format": 0'),
    ]
    for content in damaged:
        path.write_bytes(content)
        with caplog.at_level(logging.WARNING):
            again = await ready(database, tmp_path)
        assert (again.complete, len(again)) == (1, 70)
        assert "reading the gallery from the database" in caplog.text
        caplog.clear()
        assert (await ready(database, tmp_path)).complete == 0

    about, columns = mapped(path)
    # Nothing that earlier versions do not know, which read it before they see whose it is.
    assert about["seen"].keys() == {"snapshot", "last", "history"}
    layout = json.loads(whole.partition(b"\n")[0])["layout"]
    elsewhere = {**about, "seen": {**about["seen"], "history": "another"}}
    set_back = {**about, "seen": {**about["seen"], "snapshot": "9000000000:9000000000:"}}
    other_rules = {**about, "source": {**about["source"], "migrations": 0}}
    # An earlier version reads what a later one wrote, after it has been rolled back.
    later_version = {**other_rules, "seen": {**about["seen"], "invented": "later"}}
    for other in (
        elsewhere,
        set_back,
        other_rules,
        later_version,
        {**about, "looked_at": time.time() - gallery.LOG_HOURS * 3600},
    ):
        with written(path, other, layout) as copies:
            for name, column in columns.items():
                copies[name][:] = column
        assert (await ready(database, tmp_path)).complete == 1

    # Without a place for the file it does without.
    monkeypatch.setattr("tempfile.mkstemp", _full)
    path.unlink()
    with caplog.at_level(logging.WARNING):
        again = await ready(database, tmp_path)
    assert "cannot keep the gallery in a file" in caplog.text
    assert (again.complete, len(again)) == (1, 70)
    assert best(again) == best(await ready(database, None))


def _full(**_: object) -> tuple[int, str]:
    raise OSError(28, "No space left on device")


def test_what_a_celebrity_takes(tmp_path: Path) -> None:
    for dimensions, most in ((128, 350), (512, 750)):
        rows = np.zeros(2000, gallery.ROW)
        rows["id"] = rows["person"] = [np.void(uuid4().bytes) for _ in rows]
        rows["embedding"]["values"][:, :dimensions] = 1
        arrays = GalleryArrays()
        arrays.write(rows)
        path = tmp_path / str(dimensions)
        arrays.save(path, {})
        assert path.stat().st_size / len(rows) < most
        again = GalleryArrays(mapped(path)[1])
        assert len(again) == len(rows)
        again.save(tmp_path / "again", {})
        assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_a_failed_write_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "x"
    for value in (1, 2):
        with written(path, {"value": value}, {"a": ("i4", (3,))}) as columns:
            columns["a"][:] = value
    with pytest.raises(asyncio.CancelledError), written(path, {}, {"a": ("i4", (3,))}):
        raise asyncio.CancelledError
    assert [name.name for name in path.parent.iterdir()] == ["x"]
    about, columns = mapped(path)
    assert (about, columns["a"].tolist()) == ({"value": 2}, [2, 2, 2])
    columns["a"][:] = 7
    assert mapped(path)[1]["a"].tolist() == [2, 2, 2]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UnusableFileError, match="damaged"):
        mapped(path)


def test_a_file_has_its_room_before_it_is_written(tmp_path: Path) -> None:
    """A write to a mapped page that the disk has no room for would end the process."""
    with written(tmp_path / "x", {}, {"a": ("i4", (10**5,))}):
        (file,) = tmp_path.iterdir()
        assert file.stat().st_blocks * 512 >= file.stat().st_size > 4 * 10**5


@pytest.mark.parametrize("changed", [{"history": "another"}, {"snapshot": "9000000000:9000000000:"}])
async def test_a_database_that_was_restored_meanwhile_is_read_again(
    database: Database, tmp_path: Path, changed: dict[str, Any]
) -> None:
    await add_celebrities(database, *varied(70))
    found = await ready(database, tmp_path)
    await add_celebrities(database, famous(1000))
    await database.execute("DELETE FROM celebrity_changes")
    assert found._seen is not None
    found._seen = replace(found._seen, **changed)
    await found.refresh()
    await found.refresh()
    assert (found.complete, len(found)) == (2, 71)
    assert (await ready(database, tmp_path)).complete == 0


async def test_who_is_cancelled_waits_for_the_thread_that_uses_the_gallery(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next search would change arrays that are being written to the file."""
    await add_celebrities(database, *varied(70))
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def save(*_: object) -> None:
        begun.set()
        go_on.wait(PATIENCE_S)
        ended.set()

    monkeypatch.setattr(Gallery, "_save", save)
    refreshing = asyncio.create_task(Gallery(database, DIGEST, tmp_path).refresh())
    assert await asyncio.to_thread(begun.wait, PATIENCE_S)
    refreshing.cancel()
    assert await asyncio.wait([refreshing], timeout=0.05) == (set(), {refreshing})
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await refreshing
    assert ended.is_set()


async def test_who_has_no_category_is_in_none_also_if_it_has_no_name(database: Database) -> None:
    """Else a search for it would take everybody, whom the database then leaves out one by one."""
    rows = [replace(row, category=category) for row, category in zip(varied(2), (None, ""), strict=True)]
    _, unnamed = await add_celebrities(database, *rows)
    found = await ready(database, None)
    assert found.near_people(famous(1).embedding, 10, "", None) == ([unnamed], 1)


def test_files_that_nobody_uses_are_removed(tmp_path: Path) -> None:
    then = time.time() - 2 * gallery.LOG_HOURS * 3600
    for name in ("earlier.gallery", ".earlier.gallery.x1", "notes.txt"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (then, then))
    (tmp_path / "other.gallery").touch()
    gallery._remove_old_files(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "other.gallery"}
