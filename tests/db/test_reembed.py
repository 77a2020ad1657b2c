"""The embeddings of a second pack: beside the others, then in force, then alone; never mixed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg
import pytest

from batch.reembed.overlap import measure_overlap
from db import spare_embeddings
from db.jobs import MatchJobs
from db.logins import application_dsn
from db.pool import Database
from db.queries import queries
from db.spare_embeddings import SpareEmbeddings, Table
from matching.celebrity_search import CelebritySearch
from matching.gallery import GalleryQuery
from matching.rematch import Rematch, Scope
from matching.scoring import BEST, MIN_QUALITY
from matching.store import Matching, MatchRules
from semblance.errors import ConfigurationError, ConflictError, DatabaseError, PackMismatchError
from semblance.types import Embedding
from semblance.weights import Weights
from tests.support.reused_database import ReusedDatabase
from tests.support.rows import DIGEST, OTHER_DIGEST, embeddings
from tests.support.rows_matching import add_celebrities, add_face, add_person, add_user, varied
from tests.support.waiting import PATIENCE_S, until, wait_until

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

WAITING = """
    SELECT count(*) >= $1
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE NOT granted AND datname = current_database()
"""

BY_EMBEDDING = MatchRules(Weights(1, 0, 0, 0, 0, 0), 1e-6)


@pytest.fixture
def spare(direct_database: Database) -> SpareEmbeddings:
    """With the owner's rights, on the server itself."""
    return SpareEmbeddings(direct_database)


@pytest.fixture
async def service(reused_database: ReusedDatabase, service_dsn: str) -> Database:
    """A pool of the application's login."""
    return await reused_database.pool(service_dsn, 4)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a removal has many."""
    monkeypatch.setattr(spare_embeddings, "MOST_ROWS", 40)
    monkeypatch.setattr(spare_embeddings, "STEP_SECONDS", 0.001)


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
    await spare.build_indexes(digest)
    return await spare.switch(digest, missing)


async def drop(spare: SpareEmbeddings, digest: str) -> dict[Table, int]:
    return await spare.drop(digest, lambda _: None)


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
    assert (faces.undescribed, faces.embedded, faces.missing) == (1, 4, FACES - 4)
    assert coverage["celebrities"].missing == CELEBRITIES
    kept = await database.fetchval("SELECT embedding FROM spare_face_embeddings WHERE face_id = $1", done[0])
    np.testing.assert_array_equal(kept.to_numpy(), world.new[done[0]])
    assert await spare.in_force() == DIGEST


async def test_a_switch_and_the_way_back_move_nothing(
    spare: SpareEmbeddings, database: Database, world: TwoPacksWorld, dsn: str
) -> None:
    await filled(spare, world)
    before = everything(dsn)
    switched = {"faces": FACES, "celebrities": CELEBRITIES}
    assert await switch(spare) == switched
    assert await spare.in_force() == OTHER_DIGEST
    [record] = await database.fetch("SELECT action, target, after FROM audit_log")
    assert tuple(record) == ("pack.switch", OTHER_DIGEST, switched)
    assert await switch(spare, DIGEST) == switched
    assert await spare.in_force() == DIGEST
    assert everything(dsn) == before


async def test_rows_without_the_pack_are_left_behind_only_when_told_and_follow_later(
    spare: SpareEmbeddings, service: Database, world: TwoPacksWorld, database: Database
) -> None:
    await filled(spare, world)
    vector = world.old[world.faces[0]]
    late = await add_person(database, face={"embedding": vector})
    with pytest.raises(ConflictError, match="1 faces and celebrities"):
        await switch(spare)
    assert await spare.in_force() == DIGEST
    await switch(spare, missing=1)
    probe = await Matching(service).probe(late)
    assert probe is not None and probe.pack_digest == DIGEST
    np.testing.assert_array_equal(probe.traits["embedding"], vector)
    await spare.add("faces", {late: world.new[world.faces[0]]}, OTHER_DIGEST)
    probe = await Matching(service).probe(late)
    assert probe is not None and probe.pack_digest == OTHER_DIGEST
    np.testing.assert_array_equal(probe.traits["embedding"], world.new[world.faces[0]])


async def test_a_switch_waits_for_nobody_and_nobody_for_it(
    spare: SpareEmbeddings, world: TwoPacksWorld, database: Database, dsn: str
) -> None:
    await filled(spare, world)
    await spare.build_indexes(OTHER_DIGEST)
    async with await psycopg.AsyncConnection.connect(dsn) as other:
        await other.execute("UPDATE faces SET age = 30")
        await other.execute("UPDATE celebrities SET age = 30")
        await asyncio.wait_for(spare.switch(OTHER_DIGEST, 0), PATIENCE_S)
        await other.execute("UPDATE spare_face_embeddings SET pack_digest = pack_digest")
        await other.commit()
    async with database.transaction() as switching:
        await switching.execute(queries["put_in_force"], DIGEST)
        adding = add_person(database, face={"embedding": world.old[world.faces[0]]})
        late = await asyncio.wait_for(adding, PATIENCE_S)
        hits = await CelebritySearch(database).nearest(world.new[world.faces[0]], pack_digest=OTHER_DIGEST)
        assert len(hits) == 10
    assert late in set(await pending(spare, "faces", 100))


async def test_two_switches_at_once_are_one(spare: SpareEmbeddings, world: TwoPacksWorld) -> None:
    await filled(spare, world)
    await spare.build_indexes(OTHER_DIGEST)
    results = await asyncio.gather(*(spare.switch(OTHER_DIGEST, 0) for _ in range(2)), return_exceptions=True)
    [refused] = [result for result in results if isinstance(result, ConflictError)]
    assert "in force already" in refused.message or "Another process" in refused.message
    assert await spare.in_force() == OTHER_DIGEST


async def test_an_interrupted_index_is_built_again(
    spare: SpareEmbeddings, world: TwoPacksWorld, database: Database, dsn: str
) -> None:
    await filled(spare, world)
    valid = (
        "SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
        f" WHERE relname LIKE 'spare_%_embeddings_{OTHER_DIGEST[:12]}' ORDER BY relname"
    )
    async with await psycopg.AsyncConnection.connect(dsn) as other:
        # The build waits for those who may still write without the index.
        await other.execute("DELETE FROM spare_celebrity_embeddings WHERE false")
        building = asyncio.create_task(spare.build_indexes(OTHER_DIGEST))
        await wait_until(database, WAITING, 1)
        with pytest.raises(ConflictError, match="Another process"):
            await spare.build_indexes(OTHER_DIGEST)
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'CREATE INDEX CONCURRENTLY%'"
        )
    with pytest.raises(DatabaseError):
        await building
    assert [row["indisvalid"] for row in await database.fetch(valid)] == [False]
    await spare.build_indexes(OTHER_DIGEST)
    assert [row["indisvalid"] for row in await database.fetch(valid)] == [True, True]


async def test_an_index_that_the_server_still_builds_for_a_killed_process_is_taken(
    spare: SpareEmbeddings, world: TwoPacksWorld, database: Database, dsn: str
) -> None:
    await filled(spare, world)
    index = (await database.fetch(queries["spare_vector_indexes"], OTHER_DIGEST))[0]
    oid = f"SELECT 'spare_celebrity_embeddings_{OTHER_DIGEST[:12]}'::regclass::oid"
    connect = psycopg.AsyncConnection.connect
    async with await connect(dsn) as other, await connect(dsn, autocommit=True) as left:
        # The build waits for those who may still write without the index.
        await other.execute("DELETE FROM spare_celebrity_embeddings WHERE false")
        building = asyncio.create_task(left.execute(index["make"]))
        await wait_until(database, WAITING, 1)
        again = asyncio.create_task(spare.build_indexes(OTHER_DIGEST))
        await wait_until(database, WAITING, 2)
        await other.rollback()
        await building
        made = await database.fetchval(oid)
        await again
    indexes = await database.fetch(queries["spare_vector_indexes"], OTHER_DIGEST)
    assert [row["valid"] for row in indexes] == [True, True]
    assert made == await database.fetchval(oid)


async def test_an_index_of_an_earlier_version_is_replaced(
    spare: SpareEmbeddings, world: TwoPacksWorld, database: Database
) -> None:
    await filled(spare, world)
    names = [f"spare_{what}_embeddings_{OTHER_DIGEST[:12]}" for what in ("celebrity", "face")]
    for name in names:
        table = name.rpartition("_")[0]
        await database.execute(f'CREATE INDEX "{name}" ON {table} USING hnsw (embedding vector_cosine_ops)')
    await spare.build_indexes(OTHER_DIGEST)
    rows = await database.fetch(
        "SELECT pg_get_indexdef(name::regclass) FROM unnest($1::text[]) AS name", names
    )
    assert ["halfvec_cosine_ops" in row[0] for row in rows] == [True, True]


async def test_a_search_reads_the_vector_index_of_its_pack(
    spare: SpareEmbeddings, world: TwoPacksWorld, database: Database
) -> None:
    await filled(spare, world)
    await spare.build_indexes(OTHER_DIGEST)
    async with database.transaction() as connection:
        await connection.fetchrow(queries["tune_nearest"], "400")
        await connection.execute("SET LOCAL enable_sort = off")
        plan = await connection.fetchval(
            "EXPLAIN (FORMAT JSON) " + queries["nearest_faces"],
            world.new[world.faces[0]], OTHER_DIGEST, None, None, 10,
        )  # fmt: skip
    assert f'"Index Name": "spare_face_embeddings_{OTHER_DIGEST[:12]}"' in plan


def alike(vectors: Mapping[UUID, Embedding], ids: list[UUID], probe: Embedding) -> list[UUID]:
    """The ids of vectors that point the same way at all, the most alike first."""
    cosines = {key: float(vectors[key] @ probe) for key in ids}
    return sorted((key for key in ids if cosines[key] > 1e-3), key=lambda key: -cosines[key])


async def test_no_search_ever_mixes_packs(
    spare: SpareEmbeddings, service: Database, world: TwoPacksWorld
) -> None:
    """While it switches, goes back and removes a pack, every search has the whole answer of its pack."""
    search = CelebritySearch(service)
    face = world.faces[0]
    packs = {DIGEST: world.old, OTHER_DIGEST: world.new}
    searched = {DIGEST}
    turns = dict.fromkeys(("nearest", "shortlist"), 0)
    ended = asyncio.Event()

    async def nearest() -> None:
        for digest in set(searched):
            pack = packs[digest]
            hits = await search.nearest(pack[face], pack_digest=digest)
            assert digest not in searched or (
                [hit.celebrity_id for hit in hits] == alike(pack, world.celebrities, pack[face])[:10]
            )

    async def shortlist() -> None:
        for digest in set(searched):
            pack = packs[digest]
            probe = GalleryQuery({"embedding": pack[face]}, None)
            found = await search.shortlist(probe, digest, BY_EMBEDDING.weights, BY_EMBEDDING.threshold)
            assert digest not in searched or set(found.ids) >= set(alike(pack, world.fit, pack[face])[:BEST])

    async def again(name: str, action: Callable[[], Awaitable[None]]) -> None:
        while not ended.is_set():
            await action()
            turns[name] += 1

    async def everything_was_searched() -> None:
        before = dict(turns)
        await until(lambda: all(turns[name] > before[name] + 1 for name in turns))

    async with asyncio.TaskGroup() as searches:
        searches.create_task(again("nearest", nearest))
        searches.create_task(again("shortlist", shortlist))
        with pytest.raises(PackMismatchError):
            await search.nearest(world.new[face], pack_digest=OTHER_DIGEST)
        await filled(spare, world)
        searched.add(OTHER_DIGEST)
        await everything_was_searched()
        for digest in (OTHER_DIGEST, DIGEST, OTHER_DIGEST):
            await switch(spare, digest)
            await everything_was_searched()
        searched.remove(DIGEST)
        await spare.drop(DIGEST, lambda _: None)
        await everything_was_searched()
        ended.set()
    with pytest.raises(PackMismatchError):
        await search.nearest(world.old[face], pack_digest=DIGEST)


async def test_clients_that_name_no_pack_get_the_one_in_force(
    spare: SpareEmbeddings, database: Database, world: TwoPacksWorld
) -> None:
    face = world.faces[0]
    await filled(spare, world)
    for digest, pack in ((OTHER_DIGEST, world.new), (DIGEST, world.old)):
        await switch(spare, digest)
        rows = await database.fetch("SELECT face_id FROM find_celebrity_matches($1, 10)", pack[face])
        assert [row["face_id"] for row in rows] == alike(pack, world.fit, pack[face])[:10]
        [best, *_] = await database.fetch("SELECT * FROM find_similar_faces($1, -1, 5)", pack[face])
        assert (best["face_id"], best["similarity"]) == (face, pytest.approx(1, abs=1e-6))
        similarity = await database.fetchval(
            "SELECT factor_embedding FROM calculate_advanced_similarity($1, $2)", face, world.faces[1]
        )
        assert similarity == pytest.approx(max(0.0, float(pack[face] @ pack[world.faces[1]])), abs=1e-6)


async def test_a_face_of_the_pack_before_is_matched_within_that_pack(
    spare: SpareEmbeddings, service: Database, database: Database, world: TwoPacksWorld
) -> None:
    """Uploaded between the switch and the restart of the service."""
    await filled(spare, world)
    await switch(spare)
    await database.execute("DELETE FROM match_jobs")
    vector = world.old[world.faces[0]]
    late = await add_person(database, gender="male", face={"embedding": vector})
    matching, search = Matching(service), CelebritySearch(service)
    [job] = await MatchJobs(service).claim(uuid4(), 1, timedelta(minutes=1))
    probe = await matching.probe(job.face_id)
    assert job.face_id == late and probe is not None and probe.pack_digest == DIGEST
    rules = MatchRules(Weights(), 0.1)
    shortlist = await search.shortlist(
        GalleryQuery(probe.traits, probe.gender), DIGEST, rules.weights, rules.threshold
    )
    result = await matching.complete(job, probe, rules, shortlist)
    assert result is not None and result.celebrity_matches and result.user_matches and result.message is None
    for row in await database.fetch("SELECT * FROM celebrity_matches WHERE face_id = $1", late):
        assert row["pack_digest"] == DIGEST
        cosine = max(0.0, float(world.old[row["celebrity_id"]] @ vector))
        assert row["factor_embedding"] == pytest.approx(cosine, abs=1e-6)


async def test_a_rematch_is_by_the_pack_in_force(
    spare: SpareEmbeddings, service: Database, database: Database, world: TwoPacksWorld
) -> None:
    await filled(spare, world)
    late = await add_person(database, face={"embedding": world.old[world.faces[0]]})
    await switch(spare, missing=1)
    rematch = Rematch(service)
    run = await rematch.begin(Scope(("users", "celebrities"), None, None, 1000), dry_run=True)
    assert {(shard.kind, shard.pack_digest): shard.faces for shard in run.left} == {
        ("users", OTHER_DIGEST): FACES,
        ("celebrities", OTHER_DIGEST): FACES,
        ("users", DIGEST): 1,
        ("celebrities", DIGEST): 1,
    }
    for shard in run.left:
        faces = await rematch.faces(shard, run.scope)
        found = {
            UUID(bytes=bytes(key)): vector
            for key, vector in zip(faces.ids, faces.traits.embedding, strict=True)
        }
        assert found.keys() == ({late} if shard.pack_digest == DIGEST else set(world.faces))
        for key, vector in found.items():
            expected = world.old[world.faces[0]] if key == late else world.new[key]
            np.testing.assert_allclose(vector, expected, atol=1e-6)


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
        await drop(spare, DIGEST)
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
    spare: SpareEmbeddings, world: TwoPacksWorld, database: Database, dsn: str
) -> None:
    gone = world.faces[3]
    async with await psycopg.AsyncConnection.connect(dsn) as other:
        await other.execute("DELETE FROM faces WHERE id = %s", [gone])
        adding = asyncio.create_task(spare.add("faces", world.of(world.faces), OTHER_DIGEST))
        await wait_until(database, WAITING, 1)
        await other.commit()
    await adding
    coverage = await spare.coverage(OTHER_DIGEST)
    assert (coverage["faces"].embedded, coverage["faces"].missing) == (FACES - 1, 0)


async def test_dropping_what_is_not_in_force(
    spare: SpareEmbeddings, database: Database, world: TwoPacksWorld
) -> None:
    await filled(spare, world)
    await database.execute("DELETE FROM faces WHERE id = $1", world.faces[0])
    with pytest.raises(ConflictError, match="in force"):
        await drop(spare, DIGEST)
    assert await drop(spare, "c" * 64) == {"faces": 0, "celebrities": 0}
    dropped = {"faces": FACES - 1, "celebrities": CELEBRITIES}
    assert await drop(spare, OTHER_DIGEST) == dropped
    records = await database.fetch("SELECT action, target, after FROM audit_log")
    assert [tuple(record) for record in records] == [("pack.drop", OTHER_DIGEST, dropped)]
    assert (await spare.coverage(OTHER_DIGEST))["faces"].missing == FACES - 1


async def test_an_interrupted_removal_is_completed_by_the_next(
    spare: SpareEmbeddings, database: Database, world: TwoPacksWorld, dsn: str
) -> None:
    """What is left are the new embeddings, to the last bit, in the rows themselves."""
    await filled(spare, world)
    late = await add_person(database, face={"embedding": world.old[world.faces[0]]})
    await switch(spare, missing=1)
    await switch(spare, DIGEST)
    await switch(spare, missing=1)
    expected = [(key, digest, vector) for key, digest, vector in everything(dsn) if "spare" in digest]

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            await spare.drop(DIGEST, interrupt)
        assert (await spare.coverage(OTHER_DIGEST))["faces"].missing == 1
    dropped = await drop(spare, DIGEST)
    assert 0 < dropped["faces"] < FACES and dropped["celebrities"] == CELEBRITIES
    left = [row for row in everything(dsn) if row[0] != str(late)]
    assert left == [(key, digest.removeprefix("spare "), vector) for key, digest, vector in expected]
    # Nothing could take the place of this one.
    assert await database.fetchval("SELECT pack_digest FROM faces WHERE id = $1", late) == DIGEST
    assert not await database.fetch(
        "SELECT FROM pg_indexes WHERE indexname LIKE '%_embeddings_' || $1", DIGEST[:12]
    )


async def test_a_removal_that_was_interrupted_before_its_last_index_is_completed_by_the_next(
    spare: SpareEmbeddings, database: Database, world: TwoPacksWorld, dsn: str
) -> None:
    await filled(spare, world)
    await spare.build_indexes(OTHER_DIGEST)
    async with await psycopg.AsyncConnection.connect(dsn) as other:
        # The removal of an index waits for those who may use it.
        await other.execute("DELETE FROM spare_celebrity_embeddings WHERE false")
        dropping = asyncio.create_task(drop(spare, OTHER_DIGEST))
        await wait_until(database, WAITING, 1)
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'DROP INDEX CONCURRENTLY%'"
        )
    with pytest.raises(DatabaseError):
        await dropping
    indexes = await database.fetch(queries["spare_vector_indexes"], OTHER_DIGEST)
    assert [row["valid"] for row in indexes] == [False, True]
    assert await spare.is_indexed(OTHER_DIGEST)
    assert await drop(spare, OTHER_DIGEST) == {"faces": 0, "celebrities": 0}
    assert not await spare.is_indexed(OTHER_DIGEST)
    [record] = await database.fetch("SELECT action, target FROM audit_log")
    assert tuple(record) == ("pack.drop", OTHER_DIGEST)


async def test_only_the_owner_switches(
    spare: SpareEmbeddings, reused_database: ReusedDatabase, world: TwoPacksWorld
) -> None:
    await spare.check_owner()
    service = await reused_database.pool(application_dsn(reused_database.dsn), 1)
    with pytest.raises(ConfigurationError, match="Only the owner"):
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
