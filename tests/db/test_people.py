"""People of the gallery: whose a photo is, and each person once in a search."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from uuid import uuid4

import numpy as np
import pytest

from db.celebrities import Celebrities, CelebrityRow
from db.matches import Matches
from db.pool import Database
from db.queries import sql
from matching.celebrity_search import CelebritySearch
from semblance.types import Embedding
from tests.support.rows import DIGEST, celebrity, embeddings


@pytest.fixture
def celebrities(database: Database) -> Celebrities:
    return Celebrities(database)


def photos(names: list[str], seed: int = 0) -> list[CelebrityRow]:
    """A photo for each name; the names are of one category."""
    vectors = embeddings(len(names), seed)
    rows = (celebrity(number, vector) for number, vector in enumerate(vectors))
    return [replace(row, name=name, category="actors") for row, name in zip(rows, names, strict=True)]


async def test_a_name_and_a_category_are_one_person(database: Database, celebrities: Celebrities) -> None:
    rows = photos(["Ada Lovelace", "ada  LOVELACE", "Ada Lovelace", "Grace Hopper"])
    rows[2] = replace(rows[2], category="authors")
    await celebrities.copy_in(rows[:1])
    await celebrities.copy_in(rows)
    await celebrities.copy_in(rows)
    people = await database.fetch("SELECT name, category FROM people ORDER BY name, category")
    assert [tuple(row) for row in people] == [
        ("Ada Lovelace", "actors"),
        ("Ada Lovelace", "authors"),
        ("Grace Hopper", "actors"),
    ]


async def test_photos_without_a_known_name_show_nobody_together(
    database: Database, celebrities: Celebrities
) -> None:
    await celebrities.copy_in(photos(["Unknown", "unknown", "UNKNOWN "]))
    assert await database.fetchval("SELECT count(DISTINCT person_id) FROM celebrities") == 3
    assert await database.fetchval("SELECT bool_and(person_id = id) FROM celebrities")


async def test_a_stated_person_counts_more_than_the_name(
    database: Database, celebrities: Celebrities
) -> None:
    person = uuid4()
    one, other, alone = photos(["Ada", "Countess of Lovelace", "Ada"])
    for row in (replace(one, person_id=person), replace(other, person_id=person), alone):
        await celebrities.copy_in([row])
    # A new photo goes to the first person of its name.
    assert await database.fetchval("SELECT count(DISTINCT person_id) FROM celebrities") == 1
    assert await database.fetchval("SELECT id FROM people") == person


async def test_a_picture_that_is_there_makes_nobody(database: Database, celebrities: Celebrities) -> None:
    [row] = photos(["Ada"])
    await celebrities.copy_in([row])
    await celebrities.copy_in([replace(row, name="Somebody Else")])
    assert await database.fetchval("SELECT array_agg(name) FROM people") == ["Ada"]


async def test_other_writers_get_their_person_too(database: Database) -> None:
    for _ in range(2):
        await database.execute("INSERT INTO celebrities (name, image_path) VALUES ('Ada', 'a.jpg')")
    assert await database.fetchval("SELECT count(DISTINCT person_id) FROM celebrities") == 1
    assert await database.fetchval("SELECT count(*) FROM celebrities WHERE person_id IS NULL") == 0


def nearest_by_hand(probe: Embedding, rows: list[CelebrityRow], limit: int) -> list[str]:
    best: dict[str, float] = {}
    for row in rows:
        cosine = float(row.embedding @ probe / np.linalg.norm(row.embedding) / np.linalg.norm(probe))
        best[row.name] = max(best.get(row.name, -1.0), cosine)
    return sorted(best, key=lambda name: -best[name])[:limit]


@pytest.mark.parametrize("people", [3, 40, 300])
async def test_a_search_finds_each_person_once_by_the_best_photo(
    celebrities: Celebrities, database: Database, people: int
) -> None:
    random = np.random.default_rng(people)
    rows = photos([f"Person {number}" for number in random.integers(0, people, 700)], seed=people)
    await celebrities.copy_in(rows)
    search = CelebritySearch(database)
    for probe, limit in product(embeddings(3, seed=99), [1, 10, 100]):
        hits = await search.nearest(probe, pack_digest=DIGEST, limit=limit)
        assert [hit.name for hit in hits] == nearest_by_hand(probe, rows, limit)
        assert len({hit.person_id for hit in hits}) == len(hits)
        found = await database.fetch(
            "SELECT celebrity_name FROM find_celebrity_matches($1, $2)", probe, limit
        )
        assert [row["celebrity_name"] for row in found] == nearest_by_hand(probe, rows, limit)


async def test_a_face_is_shown_each_person_once(database: Database, celebrities: Celebrities) -> None:
    one, other, grace = photos(["Ada", "Ada", "Grace"])
    await celebrities.copy_in([one, other, grace])
    profile = await database.fetchval(
        "INSERT INTO profiles (id, profile_type) VALUES (gen_random_uuid(), 'user') RETURNING id"
    )
    face = await database.fetchval(
        "INSERT INTO faces (profile_id, image_path) VALUES ($1, 'faces/x.jpg') RETURNING id", profile
    )
    for row, score in ((one, 0.7), (other, 0.9), (grace, 0.8)):
        await database.execute(
            "INSERT INTO celebrity_matches (face_id, celebrity_id, similarity_score) VALUES ($1, $2, $3)",
            face, row.id, score,
        )  # fmt: skip
    page = await Matches(database).celebrities(face, limit=10)
    assert page.total == 2
    assert [match.celebrity_id for match in page.items] == [other.id, grace.id]


async def test_a_filter_looks_at_the_best_photos_together(database: Database) -> None:
    """And without one, nobody joins them."""
    await database.execute(
        """
        INSERT INTO celebrities (name, image_path, quality_score, seen_gender)
        SELECT 'Person ' || number % 1000, 'celebrities/x.jpg', random(), 'female'
        FROM generate_series(1, 3000) AS number
        """
    )
    await database.execute("ANALYZE people, celebrities")

    async def plan(gender: str | None, least_quality: float | None, skip: int) -> str:
        filters = ("", None, gender, least_quality)
        page = await database.fetch(f"EXPLAIN {sql.page_of_people}", *filters, None, None, 100, skip)
        count = await database.fetch(f"EXPLAIN {sql.count_people}", *filters)
        lines = [row["QUERY PLAN"] for row in page]
        chosen = next(place for place, line in enumerate(lines) if "Limit" in line)
        end = next(place for place, line in enumerate(lines) if place > chosen and "people_1" in line)
        return "\n".join([*lines[chosen:end], *(row["QUERY PLAN"] for row in count)])

    narrow: list[tuple[str | None, float | None]] = [("female", None), (None, 0.5), ("female", 0.5)]
    for gender, least_quality in narrow:
        for skip in (0, 500):
            found = await plan(gender, least_quality, skip)
            assert found.count("Unique") == 2 and "SubPlan" not in found, found
    found = await plan(None, None, 0)
    assert "Unique" not in found, found
