"""The rules that queries call by name equal those in Python, and cost nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import psycopg
import pytest

from db.copy_arrays import GENDERS
from db.queries import queries
from matching.eligibility import may_match
from semblance.weights import FACTORS, Weights

WEIGHTS = json.dumps(Weights().as_dict())
OTHER_WEIGHTS = json.dumps(Weights(1, 0, 0, 0, 0, 0).as_dict())
HALVES = dict.fromkeys(FACTORS, 0.5)


@pytest.fixture
def connection(dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn, autocommit=True) as connected:
        yield connected


@pytest.mark.parametrize("gender", GENDERS)
def test_genders_have_the_numbers_of_the_arrays(connection: psycopg.Connection, gender: str | None) -> None:
    assert connection.execute("SELECT gender_number(%s)", [gender]).fetchone() == (GENDERS[gender],)


@pytest.mark.parametrize("stated", GENDERS)
@pytest.mark.parametrize("gender", GENDERS)
def test_who_may_match_whom_is_the_same_in_numpy(
    connection: psycopg.Connection, stated: str | None, gender: str | None
) -> None:
    row = connection.execute("SELECT may_match_celebrity(%s, %s) IS TRUE", [stated, gender]).fetchone()
    expected = stated is None or (gender is not None and gender != stated)
    assert row == (expected,)
    assert bool(may_match(GENDERS[stated], GENDERS[gender])) == expected


@pytest.mark.parametrize("stored", [None, *HALVES])
@pytest.mark.parametrize(
    ("gap", "differs"), [(0, False), (5e-7, False), (-5e-7, False), (2e-6, True), (-2e-6, True)]
)
def test_a_match_differs_by_any_of_its_factors(
    connection: psycopg.Connection, stored: str | None, gap: float, differs: bool
) -> None:
    factors = HALVES if stored is None else {**HALVES, stored: 0.5 + gap}
    assert match_differs(connection, WEIGHTS, factors) == (stored is not None and differs)


def test_a_match_differs_by_its_weights_and_where_none_is_stored(connection: psycopg.Connection) -> None:
    assert match_differs(connection, OTHER_WEIGHTS, HALVES)
    assert match_differs(connection, None, dict.fromkeys(FACTORS))


def match_differs(
    connection: psycopg.Connection, weights: str | None, factors: dict[str, float] | dict[str, None]
) -> object:
    row = connection.execute(
        "SELECT match_differs(%s, %s, %s, %s, %s, %s, %s, %s, .5, .5, .5, .5, .5, .5)",
        [weights, *factors.values(), WEIGHTS],
    ).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize(
    "name",
    [
        "best_users",
        "best_celebrities",
        "compare_user_matches",
        "score_candidates",
        "compare_celebrity_matches",
        "read_gallery",
        "read_faces_of_schools",
        "read_faces_between",
        "sample_faces_of_two_packs",
        "gallery_of_two_packs",
    ],
)
def test_the_functions_are_inlined(connection: psycopg.Connection, name: str) -> None:
    """A function that is called for every row takes several times as long as what it computes."""
    with connection.transaction(force_rollback=True):
        connection.execute(queries["stage_found"])
        connection.execute(queries["stage_candidates"])
        connection.execute(queries["stage_difference"])
        query = BEST_OF.get(name) or queries[name]
        plan = connection.execute(f"EXPLAIN (GENERIC_PLAN, VERBOSE, COSTS OFF) {query}").fetchall()
    text = "\n".join(line for (line,) in plan)
    called = set(re.findall(r"\b(\w+)\(", text))
    ours = {row[0] for row in connection.execute(OURS)}
    assert not called & ours, called & ours


BEST_OF = {
    "best_users": "SELECT * FROM best_users($1, $2, $3, $4, $5, $6)",
    "best_celebrities": "SELECT * FROM best_celebrities($1, $2, $3, $4, $5, $6, $7)",
}
"""Functions that are inlined themselves, into `complete_match_job`."""

OURS = """
    SELECT proname FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
"""
