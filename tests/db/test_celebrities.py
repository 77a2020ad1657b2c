from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import fields, replace
from functools import cache

import numpy as np
import psycopg
import pytest

from db.celebrities import GALLERY, Celebrities, CelebrityHit, CelebrityRow, CopyResult
from db.logins import DATABASE
from db.pool import Database
from db.queries import queries
from semblance.earlier_packs import EARLIER
from semblance.errors import BadInputError, PackMismatchError, QueryError
from semblance.types import Embedding, Gender
from tests.support.postgres import on_database
from tests.support.rows import DIGEST, OTHER_DIGEST, celebrity, embeddings, gallery

LARGE = 4000
"""Rows enough that reading them all costs more than the index."""


@cache
def rows() -> list[CelebrityRow]:
    """They take a second to make."""
    return gallery(LARGE)


PROBES = embeddings(20, seed=5)


@pytest.fixture
def celebrities(database: Database) -> Celebrities:
    return Celebrities(database)


@pytest.fixture(scope="session")
def large_template(postgres: str) -> str:
    """Name of a database with all `rows`, to be copied."""

    async def fill(dsn: str) -> None:
        database = await Database.connect(dsn, pool_size=1)
        # Building the index after the rows takes a fraction of the time.
        index = await database.fetchval("SELECT pg_get_indexdef('idx_celebrities_embedding'::regclass)")
        await database.execute("DROP INDEX idx_celebrities_embedding")
        await Celebrities(database).copy_in(rows())
        await database.execute(index)
        await database.execute("VACUUM ANALYZE celebrities")
        await database.close()

    with psycopg.connect(on_database(postgres, "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE large_gallery TEMPLATE {DATABASE}")
    asyncio.run(fill(on_database(postgres, "large_gallery")))
    return "large_gallery"


@pytest.fixture
async def large(large_template: str, make_database: Callable[[str], str]) -> AsyncIterator[Database]:
    """A database whose gallery holds `rows`."""
    database = await Database.connect(make_database(large_template), pool_size=2)
    yield database
    await database.close()


def best(probe: Embedding, rows: list[CelebrityRow], limit: int) -> list[str]:
    """Names of the most similar rows, by NumPy."""
    scores = np.stack([row.embedding for row in rows]) @ probe
    return [rows[index].name for index in np.argsort(-scores)[:limit]]


def names(hits: list[CelebrityHit]) -> list[str]:
    return [hit.name for hit in hits]


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


async def test_hits_carry_the_cosine_and_what_a_client_shows(celebrities: Celebrities) -> None:
    rows = gallery(40)
    await celebrities.copy_in(rows)
    hits = await celebrities.nearest(rows[3].embedding, pack_digest=DIGEST, limit=5)
    assert names(hits) == best(rows[3].embedding, rows, 5)
    first = hits[0]
    assert (first.celebrity_id, first.category, first.gender, first.image_path) == (
        rows[3].id,
        "actors",
        "male",
        rows[3].image_path,
    )
    for hit in hits:
        row = next(row for row in rows if row.id == hit.celebrity_id)
        assert hit.similarity == pytest.approx(float(row.embedding @ rows[3].embedding), abs=1e-6)


async def test_an_embedding_that_is_not_of_unit_length_finds_the_same(celebrities: Celebrities) -> None:
    await celebrities.copy_in(gallery(40))
    once = await celebrities.nearest(PROBES[0], pack_digest=DIGEST)
    thrice = await celebrities.nearest(3 * PROBES[0], pack_digest=DIGEST)
    assert names(once) == names(thrice)
    assert [hit.similarity for hit in once] == pytest.approx([hit.similarity for hit in thrice], abs=1e-6)


async def test_the_search_uses_the_vector_index(large: Database) -> None:
    async with large.transaction() as connection:
        await connection.fetchrow(queries["tune_nearest"], "400")
        plan = await connection.fetchval(
            "EXPLAIN (FORMAT JSON) " + queries["nearest_celebrities"], PROBES[0], DIGEST, None, None, 10
        )
    assert '"Index Name": "idx_celebrities_embedding"' in plan
    assert "Seq Scan" not in {node["Node Type"] for node in walk(json.loads(plan)[0]["Plan"])}


@pytest.mark.parametrize(
    ("category", "gender", "few"),
    [
        ("rare", None, True),
        ("musicians", None, True),
        ("nobody", None, True),
        ("actors", None, False),
        (None, "female", False),
        ("actors", "male", False),
        ("musicians", "male", True),
    ],
)
async def test_few_candidates_are_compared_one_by_one(
    large: Database, category: str | None, gender: Gender | None, few: bool
) -> None:
    async with large.transaction() as connection:
        assert await GALLERY.leaves_few(connection, DIGEST, category, gender) is few


def walk(plan: dict[str, object]) -> list[dict[str, object]]:
    children = plan.get("Plans", [])
    assert isinstance(children, list)
    return [plan, *(node for child in children for node in walk(child))]


async def test_the_index_finds_what_numpy_finds(large: Database) -> None:
    celebrities = Celebrities(large)
    found = 0
    for probe in PROBES:
        hits = await celebrities.nearest(probe, pack_digest=DIGEST, limit=10)
        assert [hit.similarity for hit in hits] == sorted((hit.similarity for hit in hits), reverse=True)
        found += len(set(names(hits)) & set(best(probe, rows(), 10)))
    assert found / (10 * len(PROBES)) >= 0.98


@pytest.mark.parametrize(
    ("filters", "passing"),
    [
        ({"category": "rare"}, 2),
        ({"category": "musicians"}, LARGE // 20),
        ({"category": "musicians", "gender": "male"}, 0),
        ({"gender": "female"}, LARGE // 2),
        ({"category": "actors", "gender": "male"}, LARGE // 2 - 2),
        ({"category": "nobody"}, 0),
    ],
)
@pytest.mark.parametrize("exact_share", [0, 2], ids=["index", "exact"])
async def test_filters_never_shorten_the_result(
    large: Database,
    monkeypatch: pytest.MonkeyPatch,
    filters: dict[str, str],
    passing: int,
    exact_share: float,
) -> None:
    monkeypatch.setattr("db.nearest._EXACT_SHARE", exact_share)
    wanted = [row for row in rows() if all(getattr(row, name) == value for name, value in filters.items())]
    assert len(wanted) == passing
    hits = await Celebrities(large).nearest(PROBES[1], pack_digest=DIGEST, limit=10, **filters)  # type: ignore[arg-type]
    assert len(hits) == min(10, passing)
    assert len(set(names(hits)) & set(best(PROBES[1], wanted, 10) if wanted else [])) >= 0.9 * len(hits)


async def test_a_search_without_limits_returns_the_whole_gallery(large: Database) -> None:
    await large.execute("DELETE FROM celebrities WHERE gender = 'male'")
    hits = await Celebrities(large).nearest(PROBES[2], pack_digest=DIGEST, limit=1000)
    assert len(set(names(hits))) == 1000


async def test_a_pooled_connection_keeps_no_search_settings(database: Database) -> None:
    await Celebrities(database).nearest(PROBES[0], pack_digest=DIGEST)
    assert await database.fetchval("SHOW plan_cache_mode") == "auto"
    assert await database.fetchval("SELECT current_setting('hnsw.ef_search', true)") in {"", "40"}


async def test_other_packs_are_left_out(celebrities: Celebrities) -> None:
    ours, theirs = gallery(6)[:3], gallery(6)[3:]
    await celebrities.copy_in([*ours, *(replace(row, pack_digest=OTHER_DIGEST) for row in theirs)])
    hits = await celebrities.nearest(theirs[0].embedding, pack_digest=DIGEST, limit=10)
    assert set(names(hits)) == {row.name for row in ours}


async def test_a_gallery_of_another_pack_is_an_error_that_names_both(celebrities: Celebrities) -> None:
    await celebrities.copy_in(gallery(3))
    with pytest.raises(PackMismatchError) as caught:
        await celebrities.nearest(PROBES[0], pack_digest=OTHER_DIGEST)
    assert DIGEST in str(caught.value)
    assert OTHER_DIGEST in str(caught.value)


async def test_a_gallery_of_an_earlier_pack_is_named_with_the_way_out(celebrities: Celebrities) -> None:
    (digest, title), *_ = EARLIER.items()
    await celebrities.copy_in([replace(row, pack_digest=digest) for row in gallery(3)])
    assert await celebrities.other_pack(DIGEST) == digest
    assert await celebrities.other_pack(digest) is None
    with pytest.raises(PackMismatchError, match=rf"the model pack {title} .*python -m batch.reembed"):
        await celebrities.nearest(PROBES[0], pack_digest=DIGEST)


async def test_a_service_that_still_runs_an_earlier_pack_is_told_its_name(celebrities: Celebrities) -> None:
    (digest, title), *_ = EARLIER.items()
    await celebrities.copy_in(gallery(3))
    with pytest.raises(PackMismatchError, match=rf"the face by {title} "):
        await celebrities.nearest(PROBES[0], pack_digest=digest)


async def test_an_empty_gallery_has_no_hits(celebrities: Celebrities) -> None:
    assert await celebrities.nearest(PROBES[0], pack_digest=DIGEST) == []


async def test_a_filter_that_nobody_passes_is_not_a_mismatch_of_packs(celebrities: Celebrities) -> None:
    await celebrities.copy_in(gallery(3))
    assert await celebrities.nearest(PROBES[0], pack_digest=DIGEST, category="nobody") == []


@pytest.mark.parametrize(
    "probe",
    [np.ones(511), np.ones((1, 512)), np.zeros(512), np.full(512, np.nan), np.full(512, np.inf)],
    ids=["short", "matrix", "zero", "nan", "inf"],
)
async def test_an_invalid_probe_is_refused(celebrities: Celebrities, probe: Embedding) -> None:
    with pytest.raises(BadInputError, match="512 finite numbers"):
        await celebrities.nearest(probe.astype(np.float32), pack_digest=DIGEST)


@pytest.mark.parametrize("limit", [0, -1, 1001])
async def test_a_limit_out_of_bounds_is_refused(celebrities: Celebrities, limit: int) -> None:
    with pytest.raises(BadInputError, match="1 to 1000"):
        await celebrities.nearest(PROBES[0], pack_digest=DIGEST, limit=limit)


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


async def test_embeddings_lie_in_the_row_and_three_rows_on_a_page(large: Database) -> None:
    pages = await large.fetchval("SELECT pg_relation_size('celebrities') / 8192")
    assert pages <= LARGE / 3 * 1.02
