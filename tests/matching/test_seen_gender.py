"""Celebrities without a stated gender have the predicted one, wherever a gender counts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from db.celebrities import Celebrities, CopyResult
from db.matches import Matches
from db.pool import Database
from matching.celebrity_search import CelebritySearch
from matching.gallery import GalleryQuery
from matching.worker import MatchWorker
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.types import Gender, ModelInfo
from semblance.weights import Weights
from tests.support.no_models import NoModels
from tests.support.rows import DIGEST, celebrity, embeddings
from tests.support.rows_matching import ALIKE, add_celebrities, add_person, famous

GENDERS: tuple[Gender | None, ...] = ("male", "female", None)
PAIRS = [(stated, seen) for stated in GENDERS for seen in GENDERS]


@pytest.fixture
def worker(database: Database, tmp_path: Path) -> MatchWorker:
    settings = Settings(home=tmp_path, database_url=SecretStr("postgresql://unused"))
    return MatchWorker(database, open_storage(settings), NoModels(), ModelInfo("test", DIGEST), settings)


async def add_pairs(database: Database) -> dict[UUID, Gender | None]:
    """A celebrity of each pair of genders, with the one that counts."""
    rows = [
        famous(number, gender=stated, seen_gender=seen)
        for number, (stated, seen) in enumerate(PAIRS, start=1)
    ]
    await add_celebrities(database, *rows)
    return {row.id: stated or seen for row, (stated, seen) in zip(rows, PAIRS, strict=True)}


@pytest.mark.parametrize("own", ["male", "female", "other", None])
async def test_a_face_is_matched_with_those_of_another_known_gender(
    database: Database, worker: MatchWorker, own: str | None
) -> None:
    counts = await add_pairs(database)
    expected = {key for key, gender in counts.items() if own is None or gender not in {None, own}}
    face = await add_person(database, gender=own)
    (outcome,) = await worker.process()
    assert outcome.celebrity_matches == len(expected)
    page = await Matches(database).celebrities(face, limit=20)
    assert {match.celebrity_id: match.gender for match in page.items} == {
        key: counts[key] for key in expected
    }


@pytest.mark.parametrize("own", ["male", "female", "other", None])
async def test_the_gallery_in_memory_follows_changes_of_it(database: Database, own: str | None) -> None:
    counts = await add_pairs(database)
    search = CelebritySearch(database)
    probe = GalleryQuery({**traits(), "embedding": ALIKE}, own)

    async def found() -> set[UUID]:
        return set((await search.shortlist(probe, DIGEST, Weights(), 0.5)).ids)

    assert await found() == {
        key for key, gender in counts.items() if own is None or gender not in {None, own}
    }
    await database.execute("UPDATE celebrities SET seen_gender = 'female' WHERE seen_gender IS NULL")
    counts = {key: gender or "female" for key, gender in counts.items()}
    assert await found() == {key for key, gender in counts.items() if own is None or gender != own}


def traits() -> dict[str, Any]:
    row = famous(1)
    names = ("geometry_ratios", "age", "symmetry_score", "skin_tone_lab", "expression")
    return {name: getattr(row, name) for name in names}


@pytest.mark.parametrize("wanted", ["male", "female"])
async def test_a_search_filters_by_it_and_returns_it(database: Database, wanted: Gender) -> None:
    counts = await add_pairs(database)
    hits = await CelebritySearch(database).nearest(ALIKE, pack_digest=DIGEST, gender=wanted)
    assert {hit.celebrity_id for hit in hits} == {key for key, gender in counts.items() if gender == wanted}
    assert {hit.gender for hit in hits} == {wanted}
    everyone = await CelebritySearch(database).nearest(ALIKE, pack_digest=DIGEST)
    assert {hit.celebrity_id: hit.gender for hit in everyone} == counts


async def test_copying_again_completes_those_without_any_gender(database: Database) -> None:
    known = [celebrity(number, ALIKE, gender=stated) for number, stated in enumerate(GENDERS)]
    celebrities = Celebrities(database)
    await celebrities.copy_in(known)
    assert await celebrities.known_hashes(DIGEST) == {row.image_hash for row in known[:2]}
    again = [replace(row, gender=None, seen_gender="male", name="Somebody Else") for row in known]
    assert await celebrities.copy_in(again) == CopyResult(0, 3, 0)
    rows = await database.fetch("SELECT name, gender, seen_gender FROM celebrities ORDER BY name")
    assert [tuple(row) for row in rows] == [
        ("Celebrity 0", "male", None),
        ("Celebrity 1", "female", None),
        ("Celebrity 2", None, "male"),
    ]
    assert await celebrities.known_hashes(DIGEST) == {row.image_hash for row in known}


async def test_two_ingestions_complete_the_same_celebrities(database: Database, service_dsn: str) -> None:
    unknown = [celebrity(n, vector, gender=None) for n, vector in enumerate(embeddings(120))]
    seen = [replace(row, seen_gender="female") for row in unknown]
    await Celebrities(database).copy_in(unknown[:60])
    application = await Database.connect(service_dsn, pool_size=4)
    try:
        celebrities = Celebrities(application)
        results = await asyncio.gather(
            *(celebrities.copy_in(seen if turn % 2 else seen[::-1]) for turn in range(4))
        )
    finally:
        await application.close()
    assert sum(result.inserted for result in results) == 60
    assert await database.fetchval("SELECT count(*) FROM celebrities WHERE seen_gender = 'female'") == 120
