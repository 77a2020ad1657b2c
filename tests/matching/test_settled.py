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


class Matching:
    """Two faces, which find all celebrities."""

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
async def matching(database: Database) -> Matching:
    found = Matching(database)
    await found.populate()
    return found


async def test_faces_are_settled_once_they_have_been_matched(matching: Matching) -> None:
    assert await matching.settled() == set()
    await matching.rematch()
    assert await matching.settled() == {matching.ada, matching.eve}
    generation = await matching.database.fetchval("SELECT generation FROM match_generations")
    await matching.rematch()
    assert await matching.settled() == {matching.ada, matching.eve}
    assert await matching.database.fetchval("SELECT generation FROM match_generations") == generation


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
async def test_a_face_with_another_content_or_other_matches_is_not(matching: Matching, change: str) -> None:
    await matching.rematch()
    await matching.database.execute(change, matching.ada)
    assert await matching.settled() == {matching.eve}
    await matching.rematch()
    assert await matching.settled() == {matching.ada, matching.eve}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE celebrities SET age = 70 WHERE id = (SELECT max(id::text)::uuid FROM celebrities)",
        "DELETE FROM celebrities WHERE id = (SELECT max(id::text)::uuid FROM celebrities)",
        "UPDATE match_generations SET looked_at = now() - interval '13 hours'",
        "UPDATE match_generations SET history = 'another server'",
    ],
)
async def test_with_another_gallery_no_face_is_settled(matching: Matching, change: str) -> None:
    await matching.rematch()
    await matching.database.execute(change)
    assert await matching.settled() == set()
    await matching.rematch()
    assert await matching.settled() == {matching.ada, matching.eve}


async def test_with_a_new_celebrity_no_face_is_settled(matching: Matching) -> None:
    await matching.rematch()
    await add_celebrities(matching.database, famous(3))
    assert await matching.settled() == set()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("matching_weights", Weights(0.3, 0.1, 0.15, 0.15, 0.15, 0.15)), ("match_threshold", 0.61)],
)
async def test_with_other_rules_no_face_is_settled(matching: Matching, setting: str, value: object) -> None:
    await matching.rematch()
    admin = await add_user(matching.database)
    await SystemSettingsTable(matching.database).change({setting: value}, by=admin)
    assert await matching.settled() == set()


async def test_a_gallery_that_was_read_before_the_last_change_is_another(matching: Matching) -> None:
    """Of two runs at once, the one that read the gallery first must not take the other one's number."""
    old = Gallery(matching.database, DIGEST)
    await old.refresh()
    await add_celebrities(matching.database, famous(3))
    run, shard, faces = await matching.read()
    theirs = await matching.generation(run)
    ours = await matching.settled_faces.generation(DIGEST, run.rules, old.position, dry_run=False)
    assert theirs != ours
    await matching.write(run, shard, faces, ours)
    assert await matching.settled() == set()


async def test_a_face_whose_matches_were_not_written_as_found_is_not_settled(matching: Matching) -> None:
    """A celebrity changes after the search: a match with it that was not found stays until the next run."""
    run, shard, faces = await matching.read()
    await matching.write(run, shard, faces, None)
    run, shard, faces = await matching.read()
    generation = await matching.generation(run)
    await matching.database.execute("UPDATE celebrities SET name = name || '!'")
    nothing = ShardCandidates(faces.ids[:0], faces.ids[:0], 1)
    await matching.tables.write(run, shard, faces, nothing, generation)
    assert await matching.database.fetchval("SELECT count(*) FROM celebrity_matches") == 4
    assert not (await matching.settled_faces.among(faces, generation or 0)).any()
