"""The celebrities most like a face: as if all were compared, with additions and deletions meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from db import copy_arrays
from db.celebrities import Celebrities, CelebrityHit, CelebrityRow
from db.pool import Database
from matching import gallery_arrays
from matching.celebrity_search import CelebritySearch
from semblance.earlier_packs import EARLIER
from semblance.errors import BadInputError, PackMismatchError
from semblance.types import Embedding, Gender
from tests.support.rows import DIGEST, OTHER_DIGEST, embeddings, gallery
from tests.support.rows_matching import add_celebrities

PROBES = embeddings(20, seed=5)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small gallery then has many blocks, the last one partly filled."""
    monkeypatch.setattr(gallery_arrays, "BLOCK", 64)
    monkeypatch.setattr(copy_arrays, "ROWS", 64)


@pytest.fixture
def celebrities(database: Database) -> Celebrities:
    return Celebrities(database)


@pytest.fixture
def search(database: Database) -> CelebritySearch:
    return CelebritySearch(database)


def best(probe: Embedding, rows: list[CelebrityRow], limit: int) -> list[str]:
    """Names of the most similar rows, by NumPy."""
    scores = np.stack([row.embedding for row in rows]) @ probe
    return [rows[index].name for index in np.argsort(-scores)[:limit]]


def names(hits: list[CelebrityHit]) -> list[str]:
    return [hit.name for hit in hits]


async def test_hits_carry_the_cosine_and_what_a_client_shows(
    celebrities: Celebrities, search: CelebritySearch
) -> None:
    rows = gallery(40)
    await celebrities.copy_in(rows)
    hits = await search.nearest(rows[3].embedding, pack_digest=DIGEST, limit=5)
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


async def test_an_embedding_that_is_not_of_unit_length_finds_the_same(
    celebrities: Celebrities, search: CelebritySearch
) -> None:
    await celebrities.copy_in(gallery(40))
    once = await search.nearest(PROBES[0], pack_digest=DIGEST)
    thrice = await search.nearest(3 * PROBES[0], pack_digest=DIGEST)
    assert names(once) == names(thrice)
    assert [hit.similarity for hit in once] == pytest.approx([hit.similarity for hit in thrice], abs=1e-6)


async def test_other_packs_are_left_out(celebrities: Celebrities, search: CelebritySearch) -> None:
    ours, theirs = gallery(6)[:3], gallery(6)[3:]
    await celebrities.copy_in([*ours, *(replace(row, pack_digest=OTHER_DIGEST) for row in theirs)])
    hits = await search.nearest(theirs[0].embedding, pack_digest=DIGEST, limit=10)
    assert set(names(hits)) == {row.name for row in ours}


async def test_a_gallery_of_another_pack_is_an_error_that_names_both(
    celebrities: Celebrities, search: CelebritySearch
) -> None:
    await celebrities.copy_in(gallery(3))
    with pytest.raises(PackMismatchError) as caught:
        await search.nearest(PROBES[0], pack_digest=OTHER_DIGEST)
    assert DIGEST in str(caught.value)
    assert OTHER_DIGEST in str(caught.value)


async def test_a_gallery_of_an_earlier_pack_is_named_with_the_way_out(
    celebrities: Celebrities, search: CelebritySearch
) -> None:
    (digest, title), *_ = EARLIER.items()
    await celebrities.copy_in([replace(row, pack_digest=digest) for row in gallery(3)])
    assert await celebrities.other_pack(DIGEST) == digest
    assert await celebrities.other_pack(digest) is None
    with pytest.raises(PackMismatchError, match=rf"the model pack {title} .*python -m batch.reembed"):
        await search.nearest(PROBES[0], pack_digest=DIGEST)


async def test_a_service_that_still_runs_an_earlier_pack_is_told_its_name(
    celebrities: Celebrities, search: CelebritySearch
) -> None:
    (digest, title), *_ = EARLIER.items()
    await celebrities.copy_in(gallery(3))
    with pytest.raises(PackMismatchError, match=rf"the face by {title} "):
        await search.nearest(PROBES[0], pack_digest=digest)


async def test_an_empty_gallery_has_no_hits(search: CelebritySearch) -> None:
    assert await search.nearest(PROBES[0], pack_digest=DIGEST) == []


async def test_a_filter_that_nobody_passes_is_not_a_mismatch_of_packs(
    celebrities: Celebrities, search: CelebritySearch
) -> None:
    await celebrities.copy_in(gallery(3))
    assert await search.nearest(PROBES[0], pack_digest=DIGEST, category="nobody") == []


@pytest.mark.parametrize(
    "probe",
    [np.ones(511), np.ones((1, 512)), np.zeros(512), np.full(512, np.nan), np.full(512, np.inf)],
    ids=["short", "matrix", "zero", "nan", "inf"],
)
async def test_an_invalid_probe_is_refused(search: CelebritySearch, probe: Embedding) -> None:
    with pytest.raises(BadInputError, match="512 finite numbers"):
        await search.nearest(probe.astype(np.float32), pack_digest=DIGEST)


@pytest.mark.parametrize("limit", [0, -1, 1001])
async def test_a_limit_out_of_bounds_is_refused(search: CelebritySearch, limit: int) -> None:
    with pytest.raises(BadInputError, match="1 to 1000"):
        await search.nearest(PROBES[0], pack_digest=DIGEST, limit=limit)


def by_hand(
    probe: Embedding, rows: list[CelebrityRow], *, category: str | None, gender: Gender | None
) -> dict[str, float]:
    """The people who pass, with the similarity of the best photo of each."""
    unit = probe.astype(np.float64) / np.linalg.norm(probe)
    found: dict[str, float] = {}
    for row in rows:
        known = row.gender or row.seen_gender
        if category in {None, row.category} and gender in {None, known} and row.embedding.any():
            vector = row.embedding.astype(np.float64)
            similarity = float(vector @ unit / np.linalg.norm(vector))
            found[row.name] = max(found.get(row.name, -1.0), similarity)
    return found


FILTERS: list[tuple[str | None, Gender | None]] = [
    (None, None),
    ("rare", None),
    (None, "female"),
    ("rare", "female"),
]


@pytest.mark.parametrize("limit", [1, 10, 60, 1000])
async def test_it_is_exact_with_ties_several_photos_zeros_and_filters(
    database: Database, search: CelebritySearch, limit: int
) -> None:
    random = np.random.default_rng(limit)
    vectors = np.stack(embeddings(500, seed=7))
    # Near the first, by less than eight bits tell apart, and exactly alike.
    vectors[100:160] = vectors[0] + 1e-4 * vectors[100:160]
    vectors[160:220] = vectors[0]
    vectors[220:225] = 0
    vectors[225:240] *= 40
    rows = [
        replace(
            row,
            name=f"Person {random.integers(150)}",
            embedding=vector,
            category=None,
            gender="female" if number % 3 else None,
            seen_gender="male",
        )
        for number, (row, vector) in enumerate(zip(gallery(500), vectors, strict=True))
    ]
    for number in range(0, 500, 40):
        rows[number] = replace(rows[number], name=f"Rare {number}", category="rare")
    await add_celebrities(database, *rows)
    for probe in (vectors[0], vectors[300], embeddings(1, seed=8)[0]):
        for category, gender in FILTERS:
            hits = await search.nearest(
                probe, pack_digest=DIGEST, limit=limit, category=category, gender=gender
            )
            expected = by_hand(probe, rows, category=category, gender=gender)
            assert len(set(names(hits))) == len(hits) == min(limit, len(expected))
            similarities = [hit.similarity for hit in hits]
            assert similarities == pytest.approx([expected[hit.name] for hit in hits], abs=1e-6)
            assert similarities == pytest.approx(sorted(expected.values(), reverse=True)[:limit], abs=1e-6)


async def test_those_added_changed_and_deleted_count_at_once(
    database: Database, celebrities: Celebrities, search: CelebritySearch
) -> None:
    rows = gallery(100)
    await celebrities.copy_in(rows[:80])
    probe = rows[90].embedding
    assert rows[90].name not in names(await search.nearest(probe, pack_digest=DIGEST))
    await celebrities.copy_in(rows[80:])
    assert names(await search.nearest(probe, pack_digest=DIGEST))[0] == rows[90].name
    await database.execute("UPDATE celebrities SET category = 'moved' WHERE id = $1", rows[90].id)
    assert names(await search.nearest(probe, pack_digest=DIGEST, category="moved")) == [rows[90].name]
    await database.execute("DELETE FROM celebrities WHERE id = $1", rows[90].id)
    assert names(await search.nearest(probe, pack_digest=DIGEST, limit=100)) == best(
        probe, [row for row in rows if row.id != rows[90].id], 100
    )


async def test_those_who_go_between_search_and_answer_make_room_for_others(
    database: Database, celebrities: Celebrities, search: CelebritySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = gallery(100)
    await celebrities.copy_in(rows)
    probe = rows[5].embedding
    leaving = [hit.celebrity_id for hit in await search.nearest(probe, pack_digest=DIGEST, limit=12)]
    nearest_of = Celebrities.nearest_of

    async def late(self: Celebrities, *args: object, **named: object) -> list[CelebrityHit]:
        await database.execute("DELETE FROM celebrities WHERE id = ANY($1::uuid[])", leaving)
        return await nearest_of(self, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Celebrities, "nearest_of", late)
    hits = await search.nearest(probe, pack_digest=DIGEST, limit=10)
    assert names(hits) == best(probe, [row for row in rows if row.id not in leaving], 10)


async def test_searches_at_the_same_time_are_all_answered(
    celebrities: Celebrities, search: CelebritySearch
) -> None:
    rows = gallery(60)
    await celebrities.copy_in(rows)
    found = await asyncio.gather(
        *(search.nearest(row.embedding, pack_digest=DIGEST, limit=1) for row in rows[:20])
    )
    assert [names(hits) for hits in found] == [[row.name] for row in rows[:20]]
