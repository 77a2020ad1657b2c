from __future__ import annotations

import asyncio
from dataclasses import fields, replace

import numpy as np
import pytest

from db.celebrities import Celebrities, CelebrityRow, CopyResult
from db.pool import Database
from semblance.errors import QueryError
from tests.support.rows import DIGEST, OTHER_DIGEST, celebrity, embeddings, gallery

PROBES = embeddings(20, seed=5)


@pytest.fixture
def celebrities(database: Database) -> Celebrities:
    return Celebrities(database)


async def test_a_row_comes_back_as_it_was_given(database: Database, celebrities: Celebrities) -> None:
    row = replace(celebrity(1, PROBES[0]), bio='Said "non" à "Ève"', category=None, gender=None)
    assert await celebrities.copy_in([row]) == CopyResult(1, 0, 0)
    stored = await database.fetchrow("SELECT * FROM celebrities")
    assert stored is not None
    for field in fields(CelebrityRow):
        expected, found = getattr(row, field.name), stored[field.name]
        if field.name == "embedding":
            np.testing.assert_array_equal(found.to_numpy(), expected)
        elif field.name == "person_id":
            assert found == await database.fetchval("SELECT id FROM people WHERE name = $1", row.name)
        else:
            assert found == expected, field.name
    assert stored["created_at"] is not None


async def test_copying_again_inserts_nothing(celebrities: Celebrities) -> None:
    rows = gallery(30)
    assert await celebrities.copy_in(rows[:20]) == CopyResult(20, 0, 0)
    assert await celebrities.copy_in(rows) == CopyResult(10, 20, 0)
    assert await celebrities.count() == 30


async def test_a_picture_twice_in_one_batch_is_stored_once(celebrities: Celebrities) -> None:
    rows = gallery(3)
    assert await celebrities.copy_in([*rows, *rows]) == CopyResult(3, 3, 0)


async def test_copying_nothing_is_allowed(celebrities: Celebrities) -> None:
    assert await celebrities.copy_in([]) == CopyResult(0, 0, 0)


async def test_a_picture_embedded_by_another_pack_stays_as_it_is(celebrities: Celebrities) -> None:
    rows = gallery(4)
    await celebrities.copy_in(rows[:3])
    result = await celebrities.copy_in([replace(row, pack_digest=OTHER_DIGEST) for row in rows])
    assert result == CopyResult(1, 0, 3)
    assert await celebrities.count(DIGEST) == 3
    assert await celebrities.count(OTHER_DIGEST) == 1
    assert await celebrities.known_hashes(DIGEST) == {row.image_hash for row in rows[:3]}


async def test_an_id_that_is_taken_stops_the_batch(celebrities: Celebrities) -> None:
    first, second, third = gallery(3)
    await celebrities.copy_in([first])
    with pytest.raises(QueryError, match="id of another picture"):
        await celebrities.copy_in([replace(second, id=first.id), third])
    assert await celebrities.count() == 1


async def test_a_row_that_breaks_a_rule_stops_the_batch_and_is_not_quoted(celebrities: Celebrities) -> None:
    first, second = gallery(2)
    with pytest.raises(QueryError) as caught:
        await celebrities.copy_in([first, replace(second, name="Nobody Atall", quality_score=1.5)])
    assert "celebrities_quality_score_check" in str(caught.value)
    assert "Nobody Atall" not in str(caught.value) + str(caught.value.__cause__)
    assert await celebrities.count() == 0


async def test_writers_with_rows_in_common_do_not_block_each_other(celebrities: Celebrities) -> None:
    rows = gallery(200)
    results = await asyncio.gather(
        *(celebrities.copy_in(rows if turn % 2 else rows[::-1]) for turn in range(4))
    )
    assert sum(result.inserted for result in results) == 200
    assert sum(result.duplicates for result in results) == 600
    assert await celebrities.count() == 200


async def test_embeddings_lie_in_the_row_and_three_rows_on_a_page(
    database: Database, celebrities: Celebrities
) -> None:
    # Pages of the tests before stay.
    pages = "SELECT pg_relation_size('celebrities') / 8192"
    before = await database.fetchval(pages)
    await celebrities.copy_in(gallery(150))
    assert await database.fetchval(pages) - before <= 51
