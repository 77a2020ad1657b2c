"""The embeddings of a second pack: first beside the others, then in their place, never mixed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg
import pytest

from batch.reembed.overlap import measure_overlap
from db import spare_embeddings
from db.celebrities import Celebrities
from db.jobs import MatchJobs
from db.pool import Database
from db.spare_embeddings import SpareEmbeddings, Table
from matching.gallery import CelebritySearch, GalleryQuery
from matching.scoring import BEST, MIN_QUALITY
from matching.store import Matching, MatchRules
from semblance.errors import ConfigurationError, ConflictError, DatabaseError, PackMismatchError
from semblance.types import Embedding
from semblance.weights import Weights
from tests.support.rows import DIGEST, OTHER_DIGEST, embeddings
from tests.support.rows_matching import add_celebrities, add_face, add_person, add_user, varied

CELEBRITIES = 60
FACES = 12

# What a row has of both packs, to the last bit.
EVERYTHING = """
    SELECT id::text, pack_digest, embedding::text FROM faces
    UNION ALL
    SELECT id::text, pack_digest, embedding::text FROM celebrities
    UNION ALL
    SELECT face_id::text, 'spare ' || pack_digest, embedding::text FROM spare_face_embeddings
    UNION ALL
    SELECT celebrity_id::text, 'spare ' || pack_digest, embedding::text FROM spare_celebrity_embeddings
    ORDER BY 1, 2
"""

BY_EMBEDDING = MatchRules(Weights(1, 0, 0, 0, 0, 0), 1e-6)


@pytest.fixture
def spare(database: Database) -> SpareEmbeddings:
    """With the owner's rights."""
    return SpareEmbeddings(database)


@pytest.fixture
async def service(service_dsn: str) -> AsyncIterator[Database]:
    """A pool of the application's login."""
    connected = await Database.connect(service_dsn, pool_size=4)
    yield connected
    await connected.close()


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a switch has many."""
    monkeypatch.setattr(spare_embeddings, "SWITCH_ROWS", 7)


class TwoPacksWorld:
    """Faces and celebrities with embeddings of DIGEST; `old` and `new` (of OTHER_DIGEST) by id."""

    def __init__(self) -> None:
        self.old: dict[UUID, Embedding] = {}
        self.new: dict[UUID, Embedding] = {}
        self.faces: list[UUID] = []
        self.celebrities: list[UUID] = []
        self.fit: list[UUID] = []

    def of(self, ids: list[UUID]) -> dict[UUID, Embedding]:
        return {key: self.new[key] for key in ids}


@pytest.fixture
async def world(database: Database) -> TwoPacksWorld:
    world = TwoPacksWorld()
    rows = varied(CELEBRITIES, seed=1)
    world.celebrities = await add_celebrities(database, *rows)
    world.fit = [row.id for row in rows if row.quality_score >= MIN_QUALITY]
    world.old |= {row.id: row.embedding for row in rows}
    for number, vector in enumerate(embeddings(FACES, seed=2)):
        gender = "female" if number % 2 else "male"
        face = await add_person(database, gender=gender, face={"embedding": vector})
        world.faces.append(face)
        world.old[face] = vector
    ids = [*world.celebrities, *world.faces]
    world.new = dict(zip(ids, embeddings(len(ids), seed=3), strict=True))
    return world


async def filled(spare: SpareEmbeddings, world: TwoPacksWorld) -> None:
    await spare.add("faces", world.of(world.faces), OTHER_DIGEST)
    await spare.add("celebrities", world.of(world.celebrities), OTHER_DIGEST)


async def switch(spare: SpareEmbeddings, digest: str = OTHER_DIGEST, missing: int = 0) -> dict[Table, int]:
    return await spare.switch(digest, missing, lambda _: None)


def everything(dsn: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(EVERYTHING).fetchall()


async def pending(spare: SpareEmbeddings, table: Table, page: int) -> list[UUID]:
    """All ids, page by page."""
    found: list[UUID] = []
    while rows := await spare.pending(table, OTHER_DIGEST, found[-1] if found else None, page):
        found += [row.id for row in rows]
    return found


async def test_what_is_left_to_do_is_what_has_no_embedding_of_the_pack(
    service: Database, database: Database, world: TwoPacksWorld
) -> None:
    """By the application's login, which does the filling."""
    spare = SpareEmbeddings(service)
    undescribed = await add_face(
        database, await add_user(database), embedding=None, pack_digest=None, image_path="faces/new.jpg"
    )
    assert await pending(spare, "faces", 5) == sorted(world.faces)
    assert await pending(spare, "celebrities", 1000) == sorted(world.celebrities)
    done = world.faces[:4]
    await spare.add("faces", world.of(done), OTHER_DIGEST)
    # Again, with another vector: what is there stays.
    await spare.add("faces", {done[0]: world.old[done[0]], uuid4(): world.old[done[0]]}, OTHER_DIGEST)
    left = await pending(spare, "faces", 5)
    assert left == sorted(world.faces[4:]) and undescribed not in left
    coverage = await spare.coverage(OTHER_DIGEST)
    faces = coverage["faces"]
    assert (faces.undescribed, faces.serving, faces.spare, faces.missing) == (1, 0, 4, FACES - 4)
    assert coverage["celebrities"].missing == CELEBRITIES
    kept = await database.fetchval("SELECT embedding FROM spare_face_embeddings WHERE face_id = $1", done[0])
    np.testing.assert_array_equal(kept.to_numpy(), world.new[done[0]])
    assert await spare.packs_in_use() == [DIGEST]


async def test_a_switch_and_the_way_back_change_no_bit(
    spare: SpareEmbeddings, database: Database, world: TwoPacksWorld, dsn: str
) -> None:
    await filled(spare, world)
    before = everything(dsn)
    switched = {"faces": FACES, "celebrities": CELEBRITIES}
    assert await switch(spare) == switched
    [record] = await database.fetch("SELECT action, target, after FROM audit_log")
    assert tuple(record) == ("pack.switch", OTHER_DIGEST, switched)
    after = everything(dsn)
    assert {(key, digest.removeprefix("spare "), vector) for key, digest, vector in before} == {
        (key, digest.removeprefix("spare "), vector) for key, digest, vector in after
    }
    served = {(UUID(key), digest) for key, digest, _ in after if not digest.startswith("spare")}
    assert served == {(key, OTHER_DIGEST) for key in world.new}
    assert await switch(spare, DIGEST) == {"faces": FACES, "celebrities": CELEBRITIES}
    assert everything(dsn) == before


async def test_rows_without_the_pack_are_left_behind_only_when_told_and_follow_later(
    spare: SpareEmbeddings, world: TwoPacksWorld, dsn: str, database: Database
) -> None:
    await filled(spare, world)
    before = everything(dsn)
    late = await add_person(database, face={"embedding": world.old[world.faces[0]]})
    with pytest.raises(ConflictError, match="1 faces and celebrities"):
        await switch(spare)
    assert [row for row in everything(dsn) if row[0] != str(late)] == before
    await switch(spare, missing=1)
    kept = await database.fetchrow("SELECT pack_digest, embedding FROM faces WHERE id = $1", late)
    assert kept is not None and kept["pack_digest"] == DIGEST
    np.testing.assert_array_equal(kept["embedding"].to_numpy(), world.old[world.faces[0]])
    await spare.add("faces", {late: world.new[world.faces[0]]}, OTHER_DIGEST)
    assert await switch(spare) == {"faces": 1, "celebrities": 0}
    assert await spare.packs_in_use() == [OTHER_DIGEST]


async def test_uploads_during_a_switch_are_neither_blocked_nor_lost(
    spare: SpareEmbeddings, world: TwoPacksWorld, database: Database
) -> None:
    await filled(spare, world)
    # All of the pool's connections are open, so that an upload waits for nothing but the switch.
    await asyncio.gather(*(database.execute("SELECT pg_sleep(0.1)") for _ in range(4)))
    added: list[asyncio.Task[UUID]] = []

    def upload(_: int) -> None:
        added.append(asyncio.create_task(add_person(database, face={"embedding": world.old[world.faces[0]]})))

    await spare.switch(OTHER_DIGEST, 0, upload)
    # Stored already, though the switch held every other row until just now.
    assert any(task.done() for task in added)
    late = {await task for task in added}
    coverage = await spare.coverage(OTHER_DIGEST)
    assert coverage["faces"].serving == FACES and coverage["faces"].missing == len(late) > 2
    assert set(await pending(spare, "faces", 100)) == late


async def test_two_switches_at_once_are_one(spare: SpareEmbeddings, world: TwoPacksWorld) -> None:
    await filled(spare, world)
    results = await asyncio.gather(switch(spare), switch(spare), return_exceptions=True)
    refused = [result for result in results if isinstance(result, ConflictError)]
    assert len(refused) == 1 and "No spare embedding" in refused[0].message
    assert (await spare.coverage(OTHER_DIGEST))["faces"].serving == FACES


def alike(vectors: Mapping[UUID, Embedding], ids: list[UUID], probe: Embedding) -> list[UUID]:
    """The ids of vectors that point the same way at all, the most alike first."""
    cosines = {key: float(vectors[key] @ probe) for key in ids}
    return sorted((key for key in ids if cosines[key] > 1e-3), key=lambda key: -cosines[key])


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("what the test waits for did not happen")


async def test_no_search_ever_mixes_packs(
    spare: SpareEmbeddings, service: Database, world: TwoPacksWorld, dsn: str
) -> None:
    """While it fills, switches and goes back, every way to search gives one pack's answer or none."""
    celebrities, search = Celebrities(service), CelebritySearch(service)
    face = world.faces[0]
    packs = {DIGEST: world.old, OTHER_DIGEST: world.new}
    seen: dict[str, set[str]] = {"nearest": set(), "shortlist": set(), "rows": set()}
    ended = asyncio.Event()

    async def nearest() -> None:
        for digest, pack in packs.items():
            try:
                hits = await celebrities.nearest(pack[face], pack_digest=digest)
            except PackMismatchError:
                continue
            assert [hit.celebrity_id for hit in hits] == alike(pack, world.celebrities, pack[face])[:10]
            seen["nearest"].add(digest)

    async def shortlist() -> None:
        for digest, pack in packs.items():
            probe = GalleryQuery({"embedding": pack[face]}, None)
            found = await search.shortlist(probe, digest, BY_EMBEDDING.weights, BY_EMBEDDING.threshold)
            if found:
                assert set(found) >= set(alike(pack, world.fit, pack[face])[:BEST])
                seen["shortlist"].add(digest)

    async def rows() -> None:
        for table in ("celebrities", "faces"):
            digests = await service.fetch(f"SELECT DISTINCT pack_digest FROM {table}")
            assert len(digests) == 1
            seen["rows"].add(digests[0]["pack_digest"])

    async def again(action: Callable[[], Awaitable[None]]) -> None:
        while not ended.is_set():
            await action()
        await action()

    async with asyncio.TaskGroup() as searches:
        for action in (nearest, shortlist, rows):
            searches.create_task(again(action))
        await filled(spare, world)
        await until(lambda: all(DIGEST in digests for digests in seen.values()))
        assert not any(OTHER_DIGEST in digests for digests in seen.values())
        for digest in (OTHER_DIGEST, DIGEST, OTHER_DIGEST):
            await switch(spare, digest)
            for digests in seen.values():
                digests.clear()
            await until(lambda: all(digest in digests for digests in seen.values()))  # noqa: B023
        ended.set()


async def test_match_jobs_beside_a_switch_end_and_compare_within_one_pack(
    spare: SpareEmbeddings, service: Database, world: TwoPacksWorld, database: Database
) -> None:
    await filled(spare, world)
    jobs, matching, search = MatchJobs(service), Matching(service), CelebritySearch(service)
    rules = MatchRules(Weights(), 0.1)
    ended = asyncio.Event()
    results = []
    turns = dict.fromkeys((uuid4() for _ in range(3)), 0)

    async def work(worker: UUID) -> None:
        while not ended.is_set():
            for job in await jobs.claim(worker, 1, timedelta(minutes=1)):
                probe = await matching.probe(job.face_id)
                assert probe is not None and probe.pack_digest is not None
                mine = GalleryQuery(probe.traits, probe.gender)
                shortlist = await search.shortlist(mine, probe.pack_digest, rules.weights, rules.threshold)
                try:
                    results.append(await matching.complete(job, probe, rules, shortlist))
                except DatabaseError as exc:
                    assert "another model pack" in exc.message
                    await jobs.retry(job, exc.message)
                turns[worker] += 1
            await asyncio.sleep(0)

    async def everybody_has_had_a_turn() -> None:
        before = dict(turns)
        await until(lambda: all(turns[worker] > before[worker] + 1 for worker in turns))

    async def requeue() -> None:
        while not ended.is_set():
            await database.execute(
                "UPDATE match_jobs SET status = 'pending', attempts = 0, run_after = now()"
                " WHERE status <> 'processing'"
            )
            await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as workers:
        for worker in turns:
            workers.create_task(work(worker))
        workers.create_task(requeue())
        for digest in (OTHER_DIGEST, DIGEST, OTHER_DIGEST):
            await everybody_has_had_a_turn()
            await switch(spare, digest)
        await everybody_has_had_a_turn()
        ended.set()
    for result in results:
        # No face was left without celebrities because the gallery was of another pack.
        assert result is not None and result.celebrity_matches and result.message is None
    rows = await database.fetch(
        "SELECT face_a_id AS one, face_b_id AS other, factor_embedding FROM matches"
        " UNION ALL SELECT face_id, celebrity_id, factor_embedding FROM celebrity_matches"
    )
    assert len(rows) > FACES
    for row in rows:
        one, other = row["one"], row["other"]
        possible = [max(0.0, float(pack[one] @ pack[other])) for pack in (world.old, world.new)]
        assert min(abs(row["factor_embedding"] - cosine) for cosine in possible) < 1e-5


async def test_a_row_deleted_while_it_is_filled_costs_the_others_nothing(
    spare: SpareEmbeddings, world: TwoPacksWorld, dsn: str
) -> None:
    gone = world.faces[3]
    async with await psycopg.AsyncConnection.connect(dsn) as other:
        await other.execute("DELETE FROM faces WHERE id = %s", [gone])
        adding = asyncio.create_task(spare.add("faces", world.of(world.faces), OTHER_DIGEST))
        while not await _waiting(dsn):
            assert not adding.done()
            await asyncio.sleep(0.02)
        await other.commit()
    await adding
    coverage = await spare.coverage(OTHER_DIGEST)
    assert (coverage["faces"].spare, coverage["faces"].missing) == (FACES - 1, 0)


async def _waiting(dsn: str) -> bool:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE NOT granted AND datname = current_database()"
        )
        return (await cursor.fetchone()) != (0,)


async def test_dropping_and_deleting(service: Database, database: Database, world: TwoPacksWorld) -> None:
    spare = SpareEmbeddings(service)
    await filled(spare, world)
    await database.execute("DELETE FROM faces WHERE id = $1", world.faces[0])
    assert await spare.drop(DIGEST) == {"faces": 0, "celebrities": 0}
    dropped = {"faces": FACES - 1, "celebrities": CELEBRITIES}
    assert await spare.drop(OTHER_DIGEST) == dropped
    records = await database.fetch("SELECT action, target, after FROM audit_log")
    assert [tuple(record) for record in records] == [("pack.drop_spare", OTHER_DIGEST, dropped)]
    assert (await spare.coverage(OTHER_DIGEST))["faces"].missing == FACES - 1


async def test_only_the_owner_switches(
    spare: SpareEmbeddings, service: Database, world: TwoPacksWorld
) -> None:
    await spare.check_owner()
    with pytest.raises(ConfigurationError, match="SEMBLANCE_OWNER_DATABASE_URL"):
        await SpareEmbeddings(service).check_owner()


async def test_the_overlap_is_that_of_the_exact_best(
    service: Database, world: TwoPacksWorld, database: Database
) -> None:
    spare = SpareEmbeddings(service)
    assert await measure_overlap(spare, BY_EMBEDDING, old=DIGEST, new=OTHER_DIGEST, sample=100) is None
    await filled(spare, world)
    fit = await database.fetch("SELECT id, gender FROM celebrities WHERE quality_score >= .6")
    stated = await database.fetch(
        "SELECT faces.id, profiles.gender FROM faces JOIN profiles ON profiles.id = profile_id"
    )
    gender = {row["id"]: row["gender"] for row in stated}
    expected = []
    for face in world.faces:
        lists = []
        for pack in (world.old, world.new):
            scores = {
                row["id"]: float(pack[row["id"]] @ pack[face])
                for row in fit
                if row["gender"] != gender[face] and pack[row["id"]] @ pack[face] > 1e-6
            }
            lists.append(set(sorted(scores, key=lambda key: -scores[key])[:20]))
        expected.append(len(lists[0] & lists[1]) / max(map(len, lists)))
    overlap = await measure_overlap(spare, BY_EMBEDDING, old=DIGEST, new=OTHER_DIGEST, sample=100)
    assert overlap is not None
    assert sorted(overlap.by_embedding) == pytest.approx(sorted(expected))
    assert sorted(overlap.by_score) == pytest.approx(sorted(expected))
    assert 0 < sum(expected) / len(expected) < 1
    few = await measure_overlap(spare, BY_EMBEDDING, old=DIGEST, new=OTHER_DIGEST, sample=3)
    assert few is not None and len(few.by_embedding) == 3
