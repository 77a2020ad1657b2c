"""The gallery in memory is exact with any weights, and never behind the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
import pytest
from psycopg.rows import dict_row

from db import copy_arrays
from db.celebrities import CelebrityRow
from db.copy_arrays import CopyReader, read_rows, row_type
from db.logins import DATABASE
from db.pool import Database
from db.queries import sql
from matching import gallery, gallery_arrays
from matching.celebrity_search import CelebritySearch
from matching.gallery import Gallery, GalleryQuery, Shortlist
from matching.scoring import BEST, MIN_QUALITY
from matching.traits import Traits
from semblance.errors import DatabaseError
from semblance.weights import Weights
from tests.support.all_pairs import all_scores
from tests.support.rows import DIGEST, OTHER_DIGEST
from tests.support.rows_matching import add_celebrities, famous, varied

PROBE: dict[str, Any] = {
    "embedding": famous(1).embedding,
    "geometry_ratios": famous(1).geometry_ratios,
    "age": 30,
    "symmetry_score": 0.8,
    "skin_tone_lab": [65.0, 10.0, 20.0],
    "expression": "happy",
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small gallery then has many blocks, the last one partly filled."""
    monkeypatch.setattr(gallery_arrays, "BLOCK", 64)
    monkeypatch.setattr(copy_arrays, "ROWS", 64)


@pytest.fixture
async def resident(database: Database) -> Gallery:
    return Gallery(database, DIGEST)


def columns(row: CelebrityRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in PROBE}


def exact(
    rows: list[CelebrityRow],
    probe: dict[str, Any],
    weights: Weights,
    *,
    limit: int = BEST,
    not_gender: str | None = None,
    category: str | None = None,
) -> list[UUID]:
    """The best of those who pass the filters, computed over all in double precision."""
    chosen = [
        row
        for row in rows
        if row.quality_score >= MIN_QUALITY and row.gender != not_gender and category in {None, row.category}
    ]
    (scores,) = all_scores(Traits.of([probe]), Traits.of([columns(row) for row in chosen]), weights)
    order = sorted(zip(-scores, (row.id for row in chosen), strict=True))
    return [key for value, key in order[:limit] if value <= -0.5]


@pytest.mark.parametrize(
    "weights",
    [
        Weights(),
        Weights(1, 0, 0, 0, 0, 0),
        Weights(0, 0, 0, 0, 0.5, 0.5),
        Weights(0.001, 0.299, 0.1, 0.2, 0.2, 0.2),
    ],
)
async def test_the_short_list_holds_the_exact_best(
    database: Database, resident: Gallery, weights: Weights
) -> None:
    rows = varied(700)
    await add_celebrities(database, *rows)
    await resident.refresh()
    assert len(resident) == 700
    probes = [columns(row) for row in varied(6, seed=3)]
    wanted = [
        GalleryQuery(probes[0], "female"),
        GalleryQuery(probes[1], "male"),
        GalleryQuery(probes[2], "other"),
        GalleryQuery(probes[3], None),
        GalleryQuery(probes[4], "female", "athletes"),
        GalleryQuery(probes[5], None, "nobody"),
    ]
    filters: list[dict[str, Any]] = [
        {"not_gender": "female"},
        {"not_gender": "male"},
        {},
        {},
        {"not_gender": "female", "category": "athletes"},
        {"category": "nobody"},
    ]
    found = resident.shortlists(wanted, weights, 0.5)
    for probe, listed, rules in zip(probes, found, filters, strict=True):
        best = exact(rows, probe, weights, **rules)
        assert set(best) <= set(listed)
        # It lists nobody who is clearly worse than the last.
        assert set(listed) <= set(exact(rows, probe, weights, limit=700, **rules))
        ties = weights.embedding == 0
        assert ties or len(listed) <= len(best) + 8


async def test_equal_scores_are_all_listed(database: Database, resident: Gallery) -> None:
    """The database then decides by id."""
    ids = await add_celebrities(database, *(famous(number) for number in range(100)))
    await resident.refresh()
    (found,) = resident.shortlists([GalleryQuery(PROBE, "female")], Weights(), 0.5)
    assert sorted(found) == sorted(ids)


async def test_every_change_is_followed(database: Database, resident: Gallery) -> None:
    def search() -> set[UUID]:
        return set(resident.shortlists([GalleryQuery(PROBE, "female")], Weights(), 0.5)[0])

    async def listed() -> set[UUID]:
        found = await resident.current(search)
        # It rests now, so that this search and the next one do not wait for the look at the log.
        assert await resident.current(search) == found
        return found

    assert await listed() == set()
    first, second = await add_celebrities(database, famous(1), famous(2))
    assert await listed() == {first, second}
    (third,) = await add_celebrities(database, famous(3))
    await database.execute("DELETE FROM celebrities WHERE id = $1", first)
    assert await listed() == {second, third}
    await database.execute("UPDATE celebrities SET gender = 'female' WHERE id = $1", second)
    assert await listed() == {third}
    await database.execute("UPDATE celebrities SET pack_digest = $1 WHERE id = $2", OTHER_DIGEST, third)
    assert await listed() == set()
    assert len(resident) == 1
    await database.execute("UPDATE celebrities SET pack_digest = $1, gender = 'male'", DIGEST)
    assert await listed() == {second, third}
    await database.execute("TRUNCATE celebrities CASCADE")
    assert await listed() == set()
    assert len(resident) == 0
    (fourth,) = await add_celebrities(database, famous(4))
    assert await listed() == {fourth}


async def test_it_sees_what_a_long_transaction_commits_late(
    database: Database, resident: Gallery, dsn: str
) -> None:
    """By every clock and counter, its rows are older than rows seen earlier."""
    (template,) = await add_celebrities(database, famous(1))
    await resident.refresh()
    copy = (
        "INSERT INTO celebrities (name, gender, image_path, embedding, pack_digest, age, symmetry_score)"
        " SELECT 'late', gender, image_path, embedding, pack_digest, age, symmetry_score FROM celebrities"
        " WHERE id = %s"
    )
    with psycopg.connect(dsn) as slow:
        slow.execute(copy, [template])
        await add_celebrities(database, famous(2))
        await resident.refresh()
        assert len(resident) == 2
        slow.commit()
    await resident.refresh()
    assert len(resident) == 3


async def test_an_unchanged_gallery_is_not_read_again(
    database: Database, resident: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_celebrities(database, *varied(100))
    await resident.refresh()
    monkeypatch.setattr(resident, "_read", None)
    await resident.refresh()


async def test_an_outdated_gallery_is_read_completely_again(
    database: Database, resident: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_celebrities(database, *varied(100))
    await resident.refresh()
    await database.execute("DELETE FROM celebrities WHERE age < 40")
    await database.execute("TRUNCATE celebrity_changes")
    monkeypatch.setattr(gallery, "LOG_HOURS", 0)
    await resident.refresh()
    assert len(resident) == await database.fetchval("SELECT count(*) FROM celebrities")


async def test_concurrent_searches_each_get_their_own_result(database: Database) -> None:
    rows = varied(300)
    await add_celebrities(database, *rows)
    await add_celebrities(database, famous(1000, pack_digest=OTHER_DIGEST))
    search = CelebritySearch(database)
    probes = [columns(row) for row in varied(40, seed=9)]
    light = Weights(1, 0, 0, 0, 0, 0)

    async def find(number: int) -> list[UUID]:
        weights = light if number % 3 == 0 else Weights()
        query = GalleryQuery(probes[number], "female")
        return [*(await search.shortlist(query, DIGEST, weights, 0.5)).ids]

    async def elsewhere() -> list[UUID]:
        query = GalleryQuery(PROBE, None)
        return [*(await search.shortlist(query, OTHER_DIGEST, Weights(), 0.5)).ids]

    *found, other = await asyncio.gather(*map(find, range(40)), elsewhere())
    assert len(other) == 1
    for number, listed in enumerate(found):
        weights = light if number % 3 == 0 else Weights()
        assert set(exact(rows, probes[number], weights, not_gender="female")) <= set(listed)


async def test_a_cancelled_search_does_not_affect_others(database: Database) -> None:
    await add_celebrities(database, *varied(200))
    search = CelebritySearch(database)
    probe = GalleryQuery(columns(varied(1, seed=9)[0]), "female")
    tasks = [asyncio.create_task(search.shortlist(probe, DIGEST, Weights(), 0.5)) for _ in range(5)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert all(isinstance(result, Shortlist) and len(result.ids) >= BEST for result in results[1:])


def test_a_copy_stream_may_be_split_anywhere() -> None:
    rows = np.zeros(200, gallery.ROW)
    rows["age"] = np.arange(200)
    data = b"h" * 19 + rows.tobytes() + b"\xff\xff"
    for step in (1000, 4999, len(data)):
        reader = CopyReader(gallery.ROW)
        parts = [part for at in range(0, len(data), step) for part in reader.feed(data[at : at + step])]
        parts += reader.end()
        assert np.concatenate(parts)["age"].tolist() == list(range(200))


async def test_a_read_has_its_own_time_and_not_that_of_a_command(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gallery of millions takes longer than the pool gives a command."""
    monkeypatch.setattr(copy_arrays, "READ_SECONDS", 0.01)
    with pytest.raises(DatabaseError):
        async with database.transaction(readonly=True) as connection:
            await read_rows(
                connection,
                "SELECT 1::smallint FROM pg_sleep(20)",
                row=row_type(("one", ">i2")),
                take=lambda _: None,
            )


async def test_a_change_is_seen_whose_transaction_has_the_number_of_a_lost_one(
    database: Database, resident: Gallery
) -> None:
    """A crash of the server loses what was not on the disk yet, and counts these transactions again."""
    (kept,) = await add_celebrities(database, famous(1))
    await resident.refresh()
    assert resident._seen is not None
    xmax = int(resident._seen.snapshot.split(":")[1]) + 1000
    resident._seen = replace(resident._seen, snapshot=f"{xmax}:{xmax}:")
    (added,) = await add_celebrities(database, famous(2))
    await resident.refresh()
    assert len(resident) == 2
    await database.execute("DELETE FROM celebrities WHERE id = $1", kept)
    await resident.refresh()
    (listed,) = resident.shortlists([GalleryQuery(PROBE, None)], Weights(), 0.0)
    assert listed == [added]


def test_a_copy_of_a_database_is_another_server(make_database: Callable[[str], str]) -> None:
    """A copy that takes the place of a database has tables of the same oids, and another log of changes."""
    servers, tables = set(), set()
    query = sql.gallery_changes.replace("$1", "NULL").replace("$2", "NULL::bigint")
    for dsn in (make_database(DATABASE), make_database(DATABASE)):
        with psycopg.connect(dsn, row_factory=dict_row) as connection:
            position = connection.execute(query).fetchone()
            table = connection.execute("SELECT 'celebrities'::regclass::oid AS oid").fetchone()
            assert position is not None
            assert table is not None
            servers.add(position["server"])
            tables.add(table["oid"])
    assert len(tables) == 1
    assert len(servers) == 2
