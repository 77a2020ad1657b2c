"""How other rules would change the stored matches, and how `rescore` changes them."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from itertools import combinations, product
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from pydantic import SecretStr

import matching.rescore
from db.faces import Faces
from db.pool import Database
from db.reactions import Reactions
from matching.rescore import EXAMPLES, ListChanges, Preview, RescoreReport, Rescoring
from matching.scoring import BEST, score
from matching.store import Matching, MatchRules
from matching.worker import MatchWorker
from semblance.errors import DatabaseError, NotFoundError, OverloadedError
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.types import ModelInfo
from semblance.weights import FACTORS, Weights
from tests.support.no_models import NoModels
from tests.support.rows import DIGEST
from tests.support.rows_matching import add_celebrities, add_face, add_user, varied
from tests.support.rows_scored import (
    EXACT,
    OTHER_EXACT,
    add_faces,
    add_matches,
    add_old,
    add_stars,
    coarse,
    fine,
    scores,
    set_rules,
    tables,
)

TRAITS = ("embedding", "age", "symmetry_score", "skin_tone_lab", "geometry_ratios", "expression")
QUEUE_ALL = "INSERT INTO match_jobs (face_id, user_id) SELECT id, profile_id FROM faces"

FINE = Weights(0.21, 0.13, 0.07, 0.29, 0.17, 0.13)


class Stop(Exception):  # noqa: N818 - not an error
    """Raised between two batches."""


@pytest.fixture
def rescoring(database: Database) -> Rescoring:
    return Rescoring(database)


async def rescore(database: Database, *, batch: int = 50, dry_run: bool = False) -> RescoreReport:
    """Rescore by the current rules."""
    rules = await Matching(database).rules()
    return await Rescoring(database).rescore(rules, dry_run=dry_run, batch=batch)


def like(match: UUID, face: UUID) -> tuple[str, UUID, UUID]:
    return (
        "INSERT INTO reactions (match_id, user_profile_id, reaction_type)"
        " SELECT $1, profile_id, 'like' FROM faces WHERE id = $2",
        match,
        face,
    )


# The preview, against the same in Python ---------------------------------------------------------------

Row = tuple[UUID, UUID, UUID, dict[str, float | None]]
"""Match, face, the other one, factors."""


async def stored(database: Database, table: str) -> list[Row]:
    first, second = ("face_a_id", "face_b_id") if table == "matches" else ("face_id", "celebrity_id")
    rows = await database.fetch(f"SELECT * FROM {table}")
    return [
        (row["id"], row[first], row[second], {name: row[f"factor_{name}"] for name in FACTORS})
        for row in rows
    ]


def scored(rows: Sequence[Row], weights: Weights) -> dict[UUID, float]:
    known = [row for row in rows if row[3]["age"] is not None]
    factors = np.array([[row[3][name] for name in FACTORS] for row in known], float).reshape(-1, 6).T
    return dict(zip((row[0] for row in known), score(factors, weights).tolist(), strict=True))


def ranks(rows: Sequence[Row], rules: MatchRules, *, both: bool) -> dict[UUID, dict[UUID, int]]:
    """Places of matches by face: those of one side, or of both."""
    found = scored(rows, rules.weights)
    lists: dict[UUID, list[tuple[float, UUID, UUID]]] = defaultdict(list)
    for match, face, other, _ in rows:
        if match in found and found[match] >= rules.threshold:
            lists[face].append((-found[match], other, match))
            if both:
                lists[other].append((-found[match], face, match))
    places: dict[UUID, dict[UUID, int]] = defaultdict(dict)
    for face, entries in lists.items():
        for place, (_, _, match) in enumerate(sorted(entries)[:BEST], start=1):
            places[match][face] = place
    return places


def check(
    changes: ListChanges[Any], rows: Sequence[Row], before: MatchRules, after: MatchRules, *, both: bool
) -> None:
    """Check that counts and examples equal those of Python."""
    old, new = ranks(rows, before, both=both), ranks(rows, after, both=both)
    appear, vanish = new.keys() - old.keys(), old.keys() - new.keys()
    move = {match for match in old.keys() & new.keys() if old[match] != new[match]}
    assert (changes.before, changes.after) == (len(old), len(new))
    assert (changes.appear, changes.vanish, changes.move) == (len(appear), len(vanish), len(move))
    assert changes.without_factors == sum(row[3]["age"] is None for row in rows)

    score_before, score_after = scored(rows, before.weights), scored(rows, after.weights)
    sides = {row[0]: row[1:3] for row in rows}

    def jump(match: UUID) -> int:
        return max(
            abs(old[match].get(face, BEST + 1) - new[match].get(face, BEST + 1)) for face in sides[match]
        )

    for shown, matches, by in (
        (changes.appearing, appear, lambda match: -score_after[match]),
        (changes.vanishing, vanish, lambda match: -score_before[match]),
        (changes.moving, move, lambda match: -jump(match)),
    ):
        first = sorted(matches, key=lambda match: (round(by(match), 9), match))[:EXAMPLES]
        assert [example.id for example in shown] == first
        for example in shown:
            assert example.score_before == pytest.approx(score_before[example.id], abs=1e-9)
            assert example.score_after == pytest.approx(score_after[example.id], abs=1e-9)
            faces = [example.a, example.b] if both else [example.face]
            assert [face.face_id for face in faces] == list(sides[example.id][: len(faces)])
            for face in faces:
                assert face.name.startswith("User ")
                assert face.rank_before == old.get(example.id, {}).get(face.face_id)
                assert face.rank_after == new.get(example.id, {}).get(face.face_id)
            if not both:
                assert example.celebrity_id == sides[example.id][1]
                assert example.celebrity_name.startswith("Star ")


@pytest.mark.parametrize("kind", ["exact", "fine"])
async def test_the_preview_is_what_numpy_computes(
    database: Database, rescoring: Rescoring, kind: str
) -> None:
    faces, stars = await add_faces(database, 40), await add_stars(database, 30)
    # Most faces have more matches than a list holds, the last one has none.
    pairs = [pair for pair in combinations(faces[:-1], 2) if hash(pair) % 9]
    shown = [pair for pair in product(faces[:-1], stars) if hash(pair) % 5]
    make = coarse if kind == "exact" else fine
    await add_matches(database, pairs, make(len(pairs), 1), EXACT)
    await add_matches(database, shown, make(len(shown), 2), FINE, table="celebrity_matches")
    await add_old(database, "matches", [(faces[0], faces[-1]), (faces[1], faces[-1])])
    await add_old(database, "celebrity_matches", [(faces[-1], stars[0])])
    untouched = await tables(database)
    users, celebrities = await stored(database, "matches"), await stored(database, "celebrity_matches")
    one, other = (EXACT, OTHER_EXACT) if kind == "exact" else (Weights(), FINE)
    for before, after in (
        (MatchRules(one, 0.5), MatchRules(other, 0.5)),
        (MatchRules(one, 0.5), MatchRules(one, 0.625)),
        (MatchRules(one, 0.75), MatchRules(other, 0.25)),
        (MatchRules(other, 0.0), MatchRules(one, 0.9375)),
        (MatchRules(one, 1.0), MatchRules(one, 0.0)),
        (MatchRules(one, 0.5), MatchRules(one, 0.5)),
    ):
        preview = await rescoring.preview(before, after)
        check(preview.users, users, before, after, both=True)
        check(preview.celebrities, celebrities, before, after, both=False)
    assert await tables(database) == untouched


async def test_a_preview_of_nothing(rescoring: Rescoring) -> None:
    rules = MatchRules(Weights(), 0.5)
    nothing: ListChanges[Any] = ListChanges(0, 0, 0, 0, 0, 0, 0, [], [], [])
    assert await rescoring.preview(rules, rules) == Preview(nothing, nothing)


async def test_a_preview_that_takes_too_long_is_ended(database: Database, rescoring: Rescoring) -> None:
    rules = MatchRules(Weights(), 0.5)
    async with database.transaction() as connection:
        await connection.execute("LOCK TABLE celebrity_matches IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(OverloadedError, match="took more than"):
            await rescoring.preview(rules, rules, seconds=0.05)
    await rescoring.preview(rules, rules)
    # The limit was the preview's alone.
    assert await database.fetchval("SELECT current_setting('statement_timeout')") == "0"


# Rescoring ----------------------------------------------------------------------------------------------


async def short_lists(database: Database, weights: Weights) -> tuple[list[UUID], list[UUID]]:
    """Matches of 30 faces, none with more than a list holds, none below .25."""
    faces, stars = await add_faces(database, 30), await add_stars(database, 20)
    near = [(one, other) for place, one in enumerate(faces) for other in faces[place + 1 : place + 9]]
    for table, pairs in (("matches", near), ("celebrity_matches", list(product(faces, stars[:15])))):
        factors = coarse(len(pairs), seed=len(pairs))
        strong = score(factors.T, weights) >= 0.25
        chosen = [pair for pair, good in zip(pairs, strong, strict=True) if good]
        await add_matches(database, chosen, factors[strong], weights, table=table)
    await add_old(database, "matches", [(faces[0], faces[-1])])
    await add_old(database, "celebrity_matches", [(faces[0], stars[-1])])
    return faces, stars


async def test_rescoring_does_what_the_preview_says(database: Database, rescoring: Rescoring) -> None:
    await short_lists(database, EXACT)
    before, after = MatchRules(EXACT, 0.25), MatchRules(OTHER_EXACT, 0.5)
    for row in await database.fetch(
        "SELECT id, face_a_id FROM matches WHERE factor_age IS NOT NULL ORDER BY id LIMIT 60"
    ):
        await database.execute(*like(row["id"], row["face_a_id"]))
    told = await rescoring.preview(before, after)
    assert told.users.vanish > told.users.vanish_in_use > 0
    await set_rules(database, after.weights, after.threshold)
    untouched = await tables(database)
    planned = await rescore(database, dry_run=True)
    assert await tables(database) == untouched
    report = await rescore(database)
    assert planned == report

    assert report.users.removed == told.users.vanish - told.users.vanish_in_use
    assert report.users.kept == told.users.vanish_in_use
    assert report.users.rows == told.users.before + 1
    assert report.users.rescored == told.users.after + report.users.kept
    assert report.celebrities.removed == told.celebrities.vanish
    assert report.celebrities.rescored == told.celebrities.after
    assert report.celebrities.kept == 0
    assert report.users.without_factors == report.celebrities.without_factors == 1

    # What is stored now is what the lists were said to become, in their order.
    users, celebrities = await stored(database, "matches"), await stored(database, "celebrity_matches")
    assert len(ranks(users, after, both=True)) == told.users.after
    assert len(ranks(celebrities, after, both=False)) == told.celebrities.after
    for table, rows in (("matches", users), ("celebrity_matches", celebrities)):
        expected = scored(rows, after.weights)
        found = await database.fetch(
            f"SELECT id, similarity_score, weights FROM {table} WHERE factor_age IS NOT NULL"
        )
        assert {row["id"]: row["similarity_score"] for row in found} == expected
        assert all(Weights(**row["weights"]) == after.weights for row in found)
    same = await rescoring.preview(after, after)
    assert (same.users.before, same.users.move) == (told.users.after, 0)


async def test_current_matches_are_not_written_and_nobody_is_notified(database: Database) -> None:
    await short_lists(database, EXACT)
    await set_rules(database, EXACT, 0.25)
    untouched = await tables(database)
    report = await rescore(database)
    assert (report.users.rescored, report.users.removed) == (0, 0)
    assert await tables(database) == untouched

    await set_rules(database, OTHER_EXACT, 0.4)
    events = await database.fetchval("SELECT count(*) FROM events")
    made = dict(await database.fetch("SELECT id, created_at FROM matches"))
    report = await rescore(database)
    assert report.users.rescored > 0 < report.users.removed
    assert await database.fetchval("SELECT count(*) FROM events") == events
    assert await database.fetchval("SELECT count(*) FROM notifications") == 0
    for row in await database.fetch("SELECT id, created_at FROM matches"):
        assert made[row["id"]] == row["created_at"]
    counted = await database.fetchval("SELECT sum(count) FROM match_counts")
    assert counted == await database.fetchval("SELECT count(*) FROM matches")

    done = await tables(database)
    again = await rescore(database)
    assert (again.users.rescored, again.users.removed, again.celebrities.rescored) == (0, 0, 0)
    assert await tables(database) == done


async def test_matches_in_use_stay_with_their_new_score(database: Database) -> None:
    faces = await add_faces(database, 12)
    pairs = list(zip(faces[::2], faces[1::2], strict=True))
    await add_matches(database, pairs, np.full((6, 6), 0.25), EXACT)
    users = dict(await database.fetch("SELECT id, profile_id FROM faces"))
    matches = [
        await database.fetchval("SELECT id FROM matches WHERE face_a_id = $1", pair[0]) for pair in pairs
    ]
    liked, pictured, requested, connected, viewed, plain = matches
    one = users[faces[0]]
    await database.execute(*like(liked, faces[0]))
    await database.execute("INSERT INTO babies (match_id, image_url) VALUES ($1, 'b.jpg')", pictured)
    await database.execute(
        "INSERT INTO baby_requests (profile_id, key, match_id, claim, claimed_until)"
        " VALUES ($1, 'k', $2, $3, now())",
        one, requested, uuid4(),
    )  # fmt: skip
    await database.execute(
        "INSERT INTO mutual_connections (profile_a_id, profile_b_id, match_id) VALUES ($1, $2, $3)",
        users[faces[6]], users[faces[7]], connected,
    )  # fmt: skip
    await database.execute(
        "INSERT INTO reactions (match_id, user_profile_id, reaction_type) VALUES ($1, $2, 'viewed')",
        viewed, one,
    )  # fmt: skip
    await set_rules(database, OTHER_EXACT, 0.5)
    told = await Rescoring(database).preview(MatchRules(EXACT, 0.25), MatchRules(OTHER_EXACT, 0.5))
    assert (told.users.vanish, told.users.vanish_in_use) == (6, 4)
    report = await rescore(database, batch=2)
    assert (report.users.kept, report.users.removed, report.users.rescored) == (4, 2, 4)
    left = {row["id"]: row for row in await database.fetch("SELECT * FROM matches")}
    assert left.keys() == {liked, pictured, requested, connected}
    assert plain not in left
    assert all(Weights(**row["weights"]) == OTHER_EXACT for row in left.values())
    assert all(row["similarity_score"] == 0.25 for row in left.values())


async def test_a_like_that_arrives_meanwhile_keeps_its_match(database: Database) -> None:
    faces = await add_faces(database, 5)
    pairs = list(combinations(faces, 2))
    await add_matches(database, pairs, np.full((len(pairs), 6), 0.25), EXACT)
    await set_rules(database, EXACT, 0.5)
    match = await database.fetchval(
        "SELECT id FROM matches WHERE face_a_id = $1 AND face_b_id = $2", *pairs[4]
    )
    async with database.transaction() as connection:
        await connection.execute(*like(match, faces[1]))
        running = asyncio.create_task(rescore(database, batch=3))
        # All others are removed; this one is waited for.
        while await database.fetchval("SELECT count(*) FROM matches") > 1:  # noqa: ASYNC110 - of the database
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert not running.done()
    report = await running
    assert (report.users.kept, report.users.removed) == (1, len(pairs) - 1)
    assert [row["id"] for row in await database.fetch("SELECT id FROM matches")] == [match]
    assert await database.fetchval("SELECT count(*) FROM reactions") == 1


async def test_no_like_is_lost_in_a_race(database: Database) -> None:
    faces = await add_faces(database, 21)
    pairs = list(combinations(faces, 2))
    await add_matches(database, pairs, np.full((len(pairs), 6), 0.25), EXACT)
    await set_rules(database, OTHER_EXACT, 0.5)
    rows = await database.fetch(
        "SELECT matches.id, profile_id FROM matches JOIN faces ON faces.id = face_a_id"
        " ORDER BY face_a_id, face_b_id"
    )
    reactions, liked = Reactions(database), set()

    # However the race goes, one is liked before it.
    await reactions.like(rows[0]["id"], rows[0]["profile_id"])
    liked.add(rows[0]["id"])

    async def like_some() -> None:
        for row in rows[3 :: random.Random(1).randint(3, 5)]:
            try:
                await reactions.like(row["id"], row["profile_id"])
            except NotFoundError:
                continue
            liked.add(row["id"])

    report, _ = await asyncio.gather(rescore(database, batch=4), like_some())
    assert 0 < report.users.kept <= len(liked) < len(rows)
    assert {row["match_id"] for row in await database.fetch("SELECT match_id FROM reactions")} == liked
    assert {row["id"] for row in await database.fetch("SELECT id FROM matches")} == liked


async def test_rescoring_beside_match_jobs_and_deletions(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """There is no deadlock, and the result is as if they had run one after the other."""
    await add_celebrities(database, *varied(40, seed=3))
    people = []
    for number, row in enumerate(varied(16, seed=4)):
        user = await add_user(database, gender="female" if number % 2 else "male")
        traits = {
            name: getattr(row, name)
            for name in (
                "embedding",
                "age",
                "symmetry_score",
                "skin_tone_lab",
                "geometry_ratios",
                "expression",
            )
        }
        people.append((user, await add_face(database, user, quality_score=0.9, **traits)))
    settings = Settings(home=tmp_path, database_url=SecretStr("postgresql://unused"))
    worker = MatchWorker(database, open_storage(settings), NoModels(), ModelInfo("test", DIGEST), settings)
    await worker.process()
    rules = [MatchRules(Weights(), 0.5), MatchRules(FINE, 0.6)]
    gone = people[:3]

    async def rescore_often() -> None:
        for turn in range(6):
            await set_rules(database, rules[turn % 2].weights, rules[turn % 2].threshold)
            await rescore(database, batch=20)

    async def match_often() -> None:
        for _ in range(3):
            await database.execute(QUEUE_ALL + " WHERE id <> ALL($1)", [face for _, face in gone])
            await worker.process()

    async def delete_some() -> None:
        for user, face in gone:
            await asyncio.sleep(0.1)
            await Faces(database).delete(user, face)

    await asyncio.gather(rescore_often(), match_often(), delete_some())
    # A job may find that somebody it matched is deleted; it is tried again.
    assert "deadlock" not in caplog.text
    await database.execute("DELETE FROM match_jobs")
    await set_rules(database, rules[0].weights, rules[0].threshold)
    await rescore(database)
    await database.execute(QUEUE_ALL)
    await worker.process()
    found = await scores(database)
    await database.execute("DELETE FROM matches")
    await database.execute("DELETE FROM celebrity_matches")
    await database.execute(QUEUE_ALL)
    await worker.process()
    fresh = await scores(database)
    assert [row[:2] for row in found] == [row[:2] for row in fresh]
    assert [row[2] for row in found] == pytest.approx([row[2] for row in fresh], abs=1e-6)


async def test_an_interrupted_rescore_can_be_started_again(database: Database) -> None:
    faces, _ = await short_lists(database, EXACT)
    await set_rules(database, OTHER_EXACT, 0.5)
    match = await database.fetchval("SELECT id FROM matches WHERE face_a_id = $1 LIMIT 1", faces[2])
    await database.execute(*like(match, faces[2]))
    plan = await rescore(database, dry_run=True)
    rules = await Matching(database).rules()

    def interrupted_after(calls: int) -> Any:
        def on_progress(rows: int, removed: int) -> None:
            nonlocal calls
            calls -= 1
            if calls < 0:
                raise Stop

        return on_progress

    written = set()
    for calls in (1, 0, 4, 2, 9, 30):
        with suppress(Stop):
            await Rescoring(database).rescore(
                rules, dry_run=False, on_progress=interrupted_after(calls), batch=10
            )
        written.add(await database.fetchval("SELECT count(*) FROM matches"))
    assert len(written) > 3
    report = await rescore(database)
    assert (report.users.kept, report.users.without_factors) == (plan.users.kept, plan.users.without_factors)
    assert await database.fetchval("SELECT count(*) FROM matches") == plan.users.rows - plan.users.removed
    left = await rescore(database, dry_run=True)
    assert (left.users.rescored, left.users.removed, left.celebrities.rescored) == (0, 0, 0)
    rows = await stored(database, "celebrity_matches")
    expected = scored(rows, OTHER_EXACT)
    assert len(rows) == plan.celebrities.rows - plan.celebrities.removed
    assert min(expected.values()) >= 0.5


async def test_rows_that_stay_locked_are_named(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching.rescore, "_STUCK_SECONDS", 0.2)
    faces = await add_faces(database, 2)
    await add_matches(database, [(faces[0], faces[1])], np.full((1, 6), 0.75), EXACT)
    async with database.transaction() as connection:
        await connection.execute("SELECT FROM matches FOR UPDATE")
        with pytest.raises(DatabaseError, match="locked by another transaction"):
            await rescore(database)
