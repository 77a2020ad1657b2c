"""A face is settled as long as a search for celebrities would find what is stored, and nothing else is."""

from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest

from db.pool import Database
from db.system_settings import SystemSettingsTable
from matching.gallery import Gallery
from matching.rematch import Ids, Rematch, Run, Scope, Shard, ShardCandidates, ShardFaces
from matching.settled import SettledFaces
from semblance.weights import Weights
from tests.support.rows import DIGEST
from tests.support.rows_matching import add_celebrities, add_person, add_user, famous

CELEBRITIES = Scope(("celebrities",), None, None, 9)


class TwoFaces:
    """Faces that find all celebrities, and what a rematch does with them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.tables = Rematch(database)
        self.settled_faces = SettledFaces(database)
        self.ada = self.eve = UUID(int=0)

    async def populate(self) -> None:
        self.ada, self.eve = [await add_person(self.database) for _ in range(2)]
        await add_celebrities(self.database, famous(1), famous(2))

    async def read(self) -> tuple[Run, Shard, ShardFaces]:
        run = await self.tables.begin(CELEBRITIES, dry_run=False)
        return run, run.left[0], await self.tables.faces(run.left[0], run.scope)

    async def generation(self, run: Run, *, dry_run: bool = False) -> int | None:
        gallery = Gallery(self.database, DIGEST)
        await gallery.refresh()
        return await self.settled_faces.generation(DIGEST, run.rules, gallery.position, dry_run=dry_run)

    async def write(self, run: Run, shard: Shard, faces: ShardFaces, generation: int | None) -> None:
        stars: Ids = np.array(
            [row["id"].bytes for row in await self.database.fetch("SELECT id FROM celebrities")], "V16"
        )
        found = ShardCandidates(np.repeat(faces.ids, len(stars)), np.tile(stars, len(faces.ids)), 1)
        await self.tables.write(run, shard, faces, found, generation)
        await self.tables.complete(run)

    async def rematch(self) -> None:
        run, shard, faces = await self.read()
        await self.write(run, shard, faces, await self.generation(run))

    async def settled(self) -> set[UUID]:
        """As the next run finds it, without writing."""
        run, _, faces = await self.read()
        generation = await self.generation(run, dry_run=True)
        if generation is None:
            return set()
        which = await self.settled_faces.among(faces, generation)
        return {UUID(bytes=bytes(key)) for key in faces.ids[which]}


@pytest.fixture
async def two(database: Database) -> TwoFaces:
    found = TwoFaces(database)
    await found.populate()
    return found


async def test_faces_are_settled_once_they_have_been_matched(two: TwoFaces) -> None:
    assert await two.settled() == set()
    await two.rematch()
    assert await two.settled() == {two.ada, two.eve}
    generation = await two.database.fetchval("SELECT generation FROM match_generations")
    await two.rematch()
    assert await two.settled() == {two.ada, two.eve}
    assert await two.database.fetchval("SELECT generation FROM match_generations") == generation


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE faces SET age = 70 WHERE id = $1",
        "UPDATE faces SET quality_score = 0.61 WHERE id = $1",
        "UPDATE profiles SET gender = 'other' WHERE id = (SELECT profile_id FROM faces WHERE id = $1)",
        "DELETE FROM celebrity_matches WHERE face_id = $1",
        "DELETE FROM celebrity_matches WHERE id ="
        " (SELECT id FROM celebrity_matches WHERE face_id = $1 LIMIT 1)",
        "UPDATE celebrity_matches SET factor_age = 0 WHERE face_id = $1",
        "UPDATE celebrity_matches SET similarity_score = 0.9 WHERE face_id = $1",
    ],
)
async def test_a_face_with_another_content_or_other_matches_is_not(two: TwoFaces, change: str) -> None:
    await two.rematch()
    await two.database.execute(change, two.ada)
    assert await two.settled() == {two.eve}
    await two.rematch()
    assert await two.settled() == {two.ada, two.eve}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE celebrities SET age = 70 WHERE id = (SELECT max(id::text)::uuid FROM celebrities)",
        "DELETE FROM celebrities WHERE id = (SELECT max(id::text)::uuid FROM celebrities)",
        "UPDATE match_generations SET looked_at = now() - interval '13 hours'",
        "UPDATE match_generations SET looked_at = now() + interval '13 hours'",
        "UPDATE match_generations SET history = 'another server'",
    ],
)
async def test_with_another_gallery_no_face_is_settled(two: TwoFaces, change: str) -> None:
    await two.rematch()
    await two.database.execute(change)
    assert await two.settled() == set()
    await two.rematch()
    assert await two.settled() == {two.ada, two.eve}


async def test_with_a_new_celebrity_no_face_is_settled(two: TwoFaces) -> None:
    await two.rematch()
    await add_celebrities(two.database, famous(3))
    assert await two.settled() == set()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("matching_weights", Weights(0.3, 0.1, 0.15, 0.15, 0.15, 0.15)), ("match_threshold", 0.61)],
)
async def test_with_other_rules_no_face_is_settled(two: TwoFaces, setting: str, value: object) -> None:
    await two.rematch()
    admin = await add_user(two.database)
    await SystemSettingsTable(two.database).change({setting: value}, by=admin)
    assert await two.settled() == set()


async def test_a_gallery_that_was_read_before_the_last_change_is_another(two: TwoFaces) -> None:
    """Of two runs at once, the one that read the gallery first must not take the other one's number."""
    old = Gallery(two.database, DIGEST)
    await old.refresh()
    await add_celebrities(two.database, famous(3))
    run, shard, faces = await two.read()
    theirs = await two.generation(run)
    ours = await two.settled_faces.generation(DIGEST, run.rules, old.position, dry_run=False)
    assert theirs != ours
    await two.write(run, shard, faces, ours)
    assert await two.settled() == set()


async def test_a_face_whose_matches_were_not_written_as_found_is_not_settled(two: TwoFaces) -> None:
    """A celebrity changes after the search: a match with it that was not found stays until the next run."""
    run, shard, faces = await two.read()
    await two.write(run, shard, faces, None)
    run, shard, faces = await two.read()
    generation = await two.generation(run)
    await two.database.execute("UPDATE celebrities SET name = name || '!'")
    nothing = ShardCandidates(faces.ids[:0], faces.ids[:0], 1)
    await two.tables.write(run, shard, faces, nothing, generation)
    assert await two.database.fetchval("SELECT count(*) FROM celebrity_matches") == 4
    assert not (await two.settled_faces.among(faces, generation or 0)).any()
