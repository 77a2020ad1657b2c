"""Schools with several names: who belongs to which, who is matched again, which addresses belong to one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from db.pool import Database
from db.profiles import Profiles
from db.queries import queries
from db.schools import SchoolNames, Schools
from matching.rematch import Rematch, Scope
from matching.scoring import BEST, MIN_QUALITY
from matching.store import Matching
from matching.worker import MatchWorker
from semblance.errors import NotFoundError, QueryError, SchoolTakenError
from semblance.schools import folded, school_of
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.types import ModelInfo
from tests.support.no_models import NoModels
from tests.support.rows import DIGEST
from tests.support.rows_matching import add_face, add_person, add_user
from tests.support.waiting import WAITING, wait_until

MIT = SchoolNames("Massachusetts Institute of Technology", ["mit.edu"], ["MIT", "M.I.T."])


@pytest.fixture
def schools(database: Database) -> Schools:
    return Schools(database)


async def key(database: Database, user: UUID) -> str:
    found: str = await database.fetchval("SELECT school_key FROM profiles WHERE id = $1", user)
    return found


async def pending(database: Database) -> set[UUID]:
    """Users whose faces wait for their matches; marks them as matched."""
    rows = await database.fetch("SELECT user_id FROM match_jobs WHERE status = 'pending'")
    await database.execute("UPDATE match_jobs SET status = 'completed'")
    return {row["user_id"] for row in rows}


# Names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        "MIT", "mit", " Mit ", "m.i.t.", "mit.edu", "MIT.EDU", "massachusetts institute of technology",
        "Massachusetts \u00a0Institute\tof  Technology",
    ],
)  # fmt: skip
async def test_all_names_of_a_school_mean_one_school(database: Database, schools: Schools, said: str) -> None:
    before = await add_user(database, school=said)
    change = await schools.put(MIT, dry_run=False)
    after = await add_user(database, school=said)
    assert await key(database, before) == await key(database, after) == str(change.school_id)
    # What the user calls it stays what is shown.
    assert await database.fetchval("SELECT school FROM profiles WHERE id = $1", after) == said


@pytest.mark.parametrize("said", ["MITx", "m i t", "cs.mit.edu", "Mit!", "Yale"])
async def test_unknown_schools_are_compared_letter_by_letter(
    database: Database, schools: Schools, said: str
) -> None:
    await schools.put(MIT, dry_run=False)
    assert await key(database, await add_user(database, school=said)) == said


async def test_composed_and_decomposed_letters_are_the_same(database: Database, schools: Schools) -> None:
    await schools.add("École normale", [], ["ÎLE"])
    keys = {
        await key(database, await add_user(database, school=said))
        for said in ("E\u0301cole Normale", "ÉCOLE NORMALE", "i\u0302le", "île")
    }
    assert len(keys) == 1


@pytest.mark.parametrize(
    "name", ["MIT", " M  i\tT ", "École", "E\u0301cole", "ÎLE", "Σχολή", "a\u00a0b", "ß"]
)
async def test_python_and_sql_fold_names_alike(database: Database, name: str) -> None:
    assert await database.fetchval("SELECT fold_school($1)", name) == folded(name)


async def test_a_name_means_one_school(database: Database, schools: Schools) -> None:
    await schools.put(MIT, dry_run=False)
    for names in (
        SchoolNames("Manukau Institute", [], ["mit"]),
        SchoolNames("MIT"),
        SchoolNames("Other", ["mit.edu"]),
        SchoolNames("Other", [], [" massachusetts  institute of technology"]),
    ):
        with pytest.raises(SchoolTakenError, match="belongs to the school 'Massachusetts") as raised:
            await schools.put(names, dry_run=False)
        assert raised.value.details["school"] == MIT.name
    assert (await schools.page(limit=10)).total == 1
    # Not even when the table is written by hand.
    with pytest.raises(QueryError, match="school_keys_pkey"):
        await database.execute("INSERT INTO schools (name, aliases) VALUES ('Other', '{mit}')")


@pytest.mark.parametrize("domain", ["edu", "edu.au", "ac.uk", "MIT", "a@mit.edu", ".edu", ""])
async def test_the_table_takes_no_domain_of_many_schools(database: Database, domain: str) -> None:
    with pytest.raises(QueryError, match="school_keys"):
        await database.execute("INSERT INTO schools (name, domains) VALUES ('Other', $1)", [domain])


async def test_the_same_again_changes_nothing(schools: Schools) -> None:
    first = await schools.put(MIT, dry_run=False)
    again = await schools.put(MIT, dry_run=False)
    assert (first.action, again.action, again.school_id) == ("added", "unchanged", first.school_id)
    renamed = await schools.put(SchoolNames("massachusetts institute of technology"), dry_run=False)
    assert (renamed.action, renamed.school_id) == ("changed", first.school_id)
    school = await schools.get(first.school_id)
    assert (school.name, school.domains, school.aliases) == (
        "massachusetts institute of technology", MIT.domains, MIT.aliases,
    )  # fmt: skip


async def test_pages_by_name(schools: Schools) -> None:
    for name in ("c", "a", "e", "b", "d"):
        await schools.add(name, [], [])
    seen: list[str] = []
    after = None
    while True:
        page = await schools.page(limit=2, after=after)
        assert page.total == 5
        seen += [school.name for school in page.items]
        after = page.next
        if after is None:
            break
    assert seen == ["a", "b", "c", "d", "e"]


# Who is matched again -------------------------------------------------------------------------------------


async def test_users_whose_school_changes_are_matched_again(database: Database, schools: Schools) -> None:
    users = {said: await add_user(database, school=said) for said in ("MIT", "mit.edu", "Mit", "Yale", "M")}
    for user in users.values():
        await add_face(database, user)
    await pending(database)

    for dry_run in (True, False):
        change = await schools.put(SchoolNames("MIT", ["mit.edu"]), dry_run=dry_run)
        assert change.users_rematched == 3
        assert await pending(database) == (
            set() if dry_run else {users["MIT"], users["mit.edu"], users["Mit"]}
        )

    change = await schools.change(change.school_id, SchoolNames(aliases=["M"], domains=[]))
    assert change.users_rematched == 2
    assert await pending(database) == {users["mit.edu"], users["M"]}
    assert (await schools.get(change.school_id)).users == 3

    # Of one name only the letters change.
    change = await schools.change(change.school_id, SchoolNames("Mit"))
    assert change.users_rematched == 0
    assert await pending(database) == set()

    assert (await schools.remove(change.school_id)).users_rematched == 3
    assert await pending(database) == {users["MIT"], users["Mit"], users["M"]}
    assert {await key(database, user) for user in users.values()} == set(users)
    for missing in (schools.get(change.school_id), schools.remove(change.school_id)):
        with pytest.raises(NotFoundError):
            await missing
    with pytest.raises(NotFoundError):
        await schools.change(change.school_id, SchoolNames("Mit"))


async def test_another_name_of_the_same_school_is_no_change(database: Database, schools: Schools) -> None:
    await schools.put(MIT, dry_run=False)
    user = await add_user(database, school="MIT")
    await add_face(database, user)
    await pending(database)
    await database.execute("UPDATE profiles SET school = 'mit.edu' WHERE id = $1", user)
    assert await pending(database) == set()
    await database.execute("UPDATE profiles SET school = 'Yale' WHERE id = $1", user)
    assert await pending(database) == {user}


async def test_a_domain_and_a_name_are_matched(database: Database, schools: Schools, tmp_path: Path) -> None:
    """By a match job and by a rematch alike, once both are registered as one school."""
    ada = await add_person(database, school="MIT")
    bob = await add_person(database, school="mit.edu", gender="male")
    yale = await add_person(database, school="Yale", gender="male")
    settings = Settings(home=tmp_path, database_url=SecretStr("postgresql://unused"))
    worker = MatchWorker(database, open_storage(settings), NoModels(), ModelInfo("test", DIGEST), settings)
    pairs = "SELECT face_a_id, face_b_id FROM matches"
    while await worker.process(10):
        pass
    assert await database.fetch(pairs) == []
    await schools.put(MIT, dry_run=False)
    while await worker.process(10):
        pass
    assert [set(row.values()) for row in await database.fetch(pairs)] == [{ada, bob}]

    rematch = Rematch(database)
    for said in ("M.I.T.", "mit.edu", "massachusetts institute of technology"):
        run = await rematch.begin(Scope(("users", "celebrities"), None, said, 8), dry_run=True)
        assert [shard.faces for shard in run.left] == [2, 2]
        for shard in run.left:
            faces = await rematch.faces(shard, run.scope)
            assert {UUID(bytes=bytes(face)) for face in faces.ids} == {ada, bob}
    run = await rematch.begin(Scope(("users",), None, None, 8), dry_run=True)
    [shard] = run.left
    faces = await rematch.faces(shard, run.scope)
    assert {UUID(bytes=bytes(face)) for face in faces.ids} == {ada, bob, yale}
    assert len(set(faces.school)) == 2


async def test_a_profile_added_together_with_its_school_belongs_to_it(dsn: str, database: Database) -> None:
    """Either may be first; the other waits and sees what was written."""
    user = uuid4()
    insert = "INSERT INTO profiles (id, profile_type, school) VALUES ($1, 'user', 'MIT')"
    first = await asyncpg.connect(dsn)
    try:
        transaction = first.transaction()
        await transaction.start()
        await first.execute(insert, user)
        adding = asyncio.create_task(Schools(database).put(MIT, dry_run=False))
        await wait_until(database, WAITING)
        assert not adding.done()
        await transaction.commit()
        change = await adding
        assert (change.users_rematched, await key(database, user)) == (1, str(change.school_id))

        transaction = first.transaction()
        await transaction.start()
        await first.execute("DELETE FROM schools")
        update = "UPDATE profiles SET school = 'mit.edu' WHERE id = $1"
        updating = asyncio.create_task(database.execute(update, user))
        await wait_until(database, WAITING)
        await transaction.commit()
        await updating
        assert await key(database, user) == "mit.edu"
    finally:
        await first.close()


async def test_matching_finds_a_school_by_its_index(database: Database, schools: Schools) -> None:
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL session_replication_role = replica")
        # Built after the rows, the index of vectors takes a fraction of the time.
        index = await connection.fetchval("SELECT pg_get_indexdef('faces_embedding_half_idx'::regclass)")
        await connection.execute("DROP INDEX faces_embedding_half_idx")
        await connection.execute(
            """
            INSERT INTO profiles (id, profile_type, gender, school)
            SELECT md5('user' || i)::uuid, 'user', (ARRAY['male', 'female'])[1 + i % 2], 'school ' || i % 200
            FROM generate_series(1, 4000) AS i
            """
        )
        await connection.execute(
            """
            INSERT INTO faces (profile_id, image_path, embedding, pack_digest)
            SELECT id, 'x', array_fill(1, ARRAY[512])::vector, $1 FROM profiles
            """,
            DIGEST,
        )
        await connection.execute(index)
    await database.execute("ANALYZE profiles, faces")
    face = await database.fetchval("SELECT id FROM faces WHERE profile_id = md5('user7')::uuid")
    weights = (await Matching(database).rules()).weights.as_dict()
    text = await database.fetchval(
        "EXPLAIN (FORMAT JSON) SELECT * FROM best_users($1, $2, $3, $4, $5, $6)",
        *(face, DIGEST, MIN_QUALITY, weights, 0.5, BEST),
    )
    assert "idx_profiles_school_key_gender" in text
    assert '"Seq Scan"' not in text
    for query, arguments in (
        ("count_users_of_school_change", (uuid4(), ["School 7"])),
        ("list_schools", (None, None, 100)),
    ):
        text = await database.fetchval(f"EXPLAIN (FORMAT JSON) {queries[query]}", *arguments)
        scanned = [
            node["Relation Name"]
            for node in _nodes(json.loads(text)[0]["Plan"])
            if node["Node Type"] == "Seq Scan"
        ]
        assert "profiles" not in scanned
    change = await schools.add("School 7", [], ["school 8"])
    assert change.users_rematched == 40


def _nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(found for child in node.get("Plans", []) for found in _nodes(child))]


# Addresses ------------------------------------------------------------------------------------------------

ADDRESSES = {
    "a@mit.edu": "mit.edu",
    "A@CS.MIT.EDU": "mit.edu",
    "a@x-1.y.edu": "y.edu",
    "a@cs.ox.ac.uk": "ox.ac.uk",
    "a@ox.ac.uk": "ox.ac.uk",
    "a@student.unimelb.edu.au": "unimelb.edu.au",
    "a@u-tokyo.ac.jp": "u-tokyo.ac.jp",
    "a@edu.edu.au": "edu.edu.au",
    "a@b.edu.edu": "edu.edu",
    "a@x.edu.ac": "x.edu.ac",
    "a@edu.au": None,
    "a@ac.uk": None,
    "a@x.ac": None,
    "a@.ac.uk": None,
    "a@x..ac.uk": None,
    "a@ox.ac.uk.": None,
    "a@ox.ac.uk\n": None,
    "a@ac.ox.uk": None,
    "a@ox.xac.uk": None,
    "a@ox.ac.uk.com": None,
    "a@evil.edu.com": None,
    "a@evil.com@ox.ac.uk": None,
    "@ox.ac.uk": None,
    "ox.ac.uk": None,
    "a@o\u212a.ac.uk": None,
    "a@" + "x" * 320 + ".edu": None,
    "a@gmail.com": None,
    "": None,
}


async def test_python_and_sql_know_the_same_academic_addresses(database: Database) -> None:
    profiles = Profiles(database)
    for address, expected in ADDRESSES.items():
        assert (school_of(address), await profiles.school_of_address(address)) == (expected, expected), (
            address
        )
    assert await profiles.school_of_address(None) is None


async def test_domains_of_schools_are_academic_too(database: Database, schools: Schools) -> None:
    await schools.add("ETH Zürich", ["ethz.ch"], [])
    await schools.add("Stanford Medicine", ["med.stanford.edu"], ["gmail.com"])
    profiles = Profiles(database)
    for address, expected in {
        "a@ethz.ch": "ethz.ch",
        "A@Student.ETHZ.ch": "ethz.ch",
        "a@notethz.ch": None,
        "a@ethz.ch.evil.com": None,
        "a@x.med.stanford.edu": "med.stanford.edu",
        "a@cs.stanford.edu": "stanford.edu",
        # An alias is no domain.
        "a@gmail.com": None,
    }.items():
        assert await profiles.school_of_address(address) == expected, address
