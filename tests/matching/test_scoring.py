"""The rules of matching follow the documented table, and NumPy and the database agree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matching.ranking import ROUNDING
from matching.scoring import (
    AGE_FACTORS,
    BEST,
    FAR_AGE_FACTOR,
    MIN_QUALITY,
    OTHER_EXPRESSION_FACTOR,
    SKIN_TONE_SCALE,
    factors,
    percentage,
    score,
)
from matching.traits import (
    DEFAULT_AGE,
    DEFAULT_EXPRESSION,
    DEFAULT_LAB,
    DEFAULT_RATIOS,
    DEFAULT_SYMMETRY,
    RATIOS,
    Traits,
)
from semblance.errors import BadInputError
from semblance.types import EMBEDDING_SIZE, EMOTIONS
from semblance.weights import FACTORS, Weights
from tests.support.all_pairs import all_factors, all_scores
from tests.support.rows import DIGEST, add_face, add_profile

PAIRS = 8
"""Faces per example. One round trip then compares many pairs."""

DEFAULTS: dict[str, Any] = {
    "embedding": None,
    "geometry_ratios": dict(zip(RATIOS, (0.75, 0.42, 0.68, 0.25), strict=True)),
    "age": 25,
    "symmetry_score": 0.75,
    "skin_tone_lab": [65, 10, 20],
    "expression": "neutral",
}

VECTOR = np.eye(EMBEDDING_SIZE)[0]
OTHER = np.eye(EMBEDDING_SIZE)[1]


def factor(name: str, a: dict[str, Any], b: dict[str, Any]) -> float:
    found = factors(Traits.of([a]), Traits.of([b]))
    np.testing.assert_array_equal(found, factors(Traits.of([b]), Traits.of([a])))
    return float(found[FACTORS.index(name), 0])


@pytest.mark.parametrize(
    ("name", "a", "b", "expected"),
    [
        ("embedding", {"embedding": VECTOR}, {"embedding": 3 * VECTOR}, 1),
        ("embedding", {"embedding": VECTOR}, {"embedding": VECTOR + OTHER}, 0.5**0.5),
        ("embedding", {"embedding": VECTOR}, {"embedding": -VECTOR}, 0),
        ("embedding", {"embedding": VECTOR}, {}, 0),
        ("embedding", {}, {}, 0),
        ("geometry", {}, DEFAULTS, 1),
        ("geometry", {"geometry_ratios": {RATIOS[0]: 0.75 + 0.3, RATIOS[1]: 0.42 - 0.4}}, {}, 0.5),
        ("geometry", {"geometry_ratios": {RATIOS[2]: 9}}, {}, 0),
        ("geometry", {"geometry_ratios": {RATIOS[2]: "9", RATIOS[3]: 11, RATIOS[0]: True}}, {}, 1),
        *(
            ("age", {"age": 40}, {"age": 40 + gap}, expected)
            for gap, expected in (
                (0, 1),
                (2, 1),
                (3, 0.9),
                (5, 0.9),
                (6, 0.7),
                (10, 0.7),
                (11, 0.5),
                (110, 0.5),
            )
        ),
        ("age", {"age": 27}, {}, 1),
        ("age", {"age": 28}, {"age": None}, 0.9),
        ("symmetry", {"symmetry_score": 1}, {"symmetry_score": 0}, 0.5),
        ("symmetry", {"symmetry_score": 0.25}, {}, 0.5),
        ("skin_tone", {"skin_tone_lab": [65, 40, 60]}, {}, 0.5),
        ("skin_tone", {"skin_tone_lab": [0, -128, -128]}, {"skin_tone_lab": [100, 127, 127]}, 0),
        ("skin_tone", {"skin_tone_lab": [None, 10, None]}, {}, 1),
        ("skin_tone", {"skin_tone_lab": [500, 10, 20]}, {}, 1),
        ("expression", {"expression": "sad"}, {"expression": "sad"}, 1),
        ("expression", {"expression": "sad"}, {}, 0.6),
        ("expression", {"expression": "neutral"}, {}, 1),
    ],
)
def test_each_factor_follows_the_table(
    name: str, a: dict[str, Any], b: dict[str, Any], expected: float
) -> None:
    assert factor(name, a, b) == pytest.approx(expected, abs=1e-12)


def test_the_score_is_the_weighted_sum_within_bounds() -> None:
    found = np.array([1, 0.5, 0.9, 0.8, 0.7, 0.6]).reshape(6, 1, 1)
    expected = 0.2 * 1 + 0.2 * 0.5 + 0.15 * (0.9 + 0.8 + 0.7 + 0.6)
    assert float(score(found, Weights())[0, 0]) == pytest.approx(expected, abs=1e-12)
    heavy = Weights(0.5, 0.5005, 0, 0, 0, 0)
    assert float(score(np.ones((6, 1, 1)), heavy)[0, 0]) == 1


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (0.004, 0), (0.506, 51), (0.999, 100), (1, 100)])
def test_percentage(value: float, expected: int) -> None:
    assert percentage(value) == expected


@pytest.mark.parametrize(
    "values",
    [
        (0.2, 0.2, 0.15, 0.15, 0.15, 0.1),
        (1.2, -0.2, 0, 0, 0, 0),
        (float("nan"), 1, 0, 0, 0, 0),
        (float("inf"), 0, 0, 0, 0, 0),
    ],
)
def test_weights_out_of_bounds_are_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(BadInputError):
        Weights(*values)


def test_weights_may_miss_one_by_a_thousandth() -> None:
    assert Weights(0.201, 0.2, 0.15, 0.15, 0.15, 0.15).as_dict()["embedding"] == 0.201


def test_traits_in_float32_change_a_score_by_less_than_a_tenth_of_what_the_ranking_allows() -> None:
    random = np.random.default_rng(0)
    rows = [
        {
            "embedding": random.normal(size=EMBEDDING_SIZE),
            "geometry_ratios": dict(zip(RATIOS, map(float, random.uniform(0, 1, 4)), strict=True)),
            "age": int(random.integers(100)),
            "symmetry_score": float(random.random()),
            "skin_tone_lab": [float(value) for value in random.uniform([0, -90, -90], [100, 90, 90])],
            "expression": EMOTIONS[random.integers(7)],
        }
        for _ in range(100)
    ]
    for weights in (Weights(), *(Weights(*row) for row in np.eye(6).tolist())):
        exact, rounded = (
            all_scores(traits, traits, weights) for traits in (Traits.of(rows), Traits.of(rows, np.float32))
        )
        np.testing.assert_allclose(rounded, exact, rtol=0, atol=ROUNDING / 10)


# The same in the database -----------------------------------------------------------------------------

numbers = st.floats(0, 1)
ratio = st.one_of(
    st.none(), st.floats(0, 1.5), st.floats(-5, 50), st.booleans(), st.text("ab", max_size=2), st.just([0.5])
)
lab = st.one_of(st.none(), st.floats(0, 100), st.floats(-300, 300))
row_strategy = st.fixed_dictionaries({
    "embedding": st.one_of(st.none(), st.integers(0, 2**32 - 1)),
    "geometry_ratios": st.one_of(st.none(), st.dictionaries(st.sampled_from([*RATIOS, "other"]), ratio)),
    "age": st.one_of(st.none(), st.integers(0, 150), st.integers(15, 40)),
    "symmetry_score": st.one_of(st.none(), numbers),
    "skin_tone_lab": st.one_of(st.none(), st.lists(lab, min_size=3, max_size=3)),
    "expression": st.one_of(st.none(), st.sampled_from(EMOTIONS)),
})  # fmt: skip


@st.composite
def weights_strategy(draw: st.DrawFn) -> Weights:
    parts = draw(st.lists(st.floats(0, 1), min_size=6, max_size=6).filter(lambda found: sum(found) > 0.01))
    return Weights(*(part / sum(parts) for part in parts))


@pytest.fixture
def connection(dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn, autocommit=True) as connected:
        yield connected


def embedding(seed: int | None) -> np.ndarray | None:
    """Zeros, opposites and vectors of all lengths that float32 can square."""
    if seed is None:
        return None
    if seed == 0:
        return np.zeros(EMBEDDING_SIZE, np.float32)
    random = np.random.default_rng(seed // 2)
    vector = random.normal(size=EMBEDDING_SIZE) + random.normal() * np.ones(EMBEDDING_SIZE)
    scale = 10 ** random.uniform(-3, 3) * (1 if seed % 2 else -1)
    return (vector / np.linalg.norm(vector) * scale).astype(np.float32)


PAIRS_IN_SQL = """
    SELECT
        embedding_factor(a.embedding, b.embedding) AS embedding,
        geometry_factor(a.geometry, b.geometry) AS geometry,
        age_factor(a.age, b.age) AS age,
        symmetry_factor(a.symmetry, b.symmetry) AS symmetry,
        skin_tone_factor(a.skin_tone, b.skin_tone) AS skin_tone,
        expression_factor(a.expression, b.expression) AS expression
    FROM (SELECT * FROM face_traits ORDER BY id OFFSET 0) AS a
    CROSS JOIN (SELECT * FROM {view} ORDER BY id OFFSET 0) AS b
    ORDER BY a.id, b.id
"""


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(row_strategy, min_size=PAIRS, max_size=PAIRS),
    weights=weights_strategy(),
    view=st.sampled_from(["face_traits", "celebrity_traits"]),
)
def test_numpy_and_sql_agree(
    connection: psycopg.Connection, rows: list[dict[str, Any]], weights: Weights, view: str
) -> None:
    stored = [{**row, "embedding": embedding(row["embedding"])} for row in rows]
    with connection.transaction(force_rollback=True):
        profile = add_profile(connection)
        for number, row in enumerate(stored):
            vector, ratios = row["embedding"], row["geometry_ratios"]
            columns = {
                **row,
                "id": f"00000000-0000-0000-0000-{number:012}",
                "embedding": None if vector is None else str(vector.tolist()),
                "pack_digest": None if vector is None else DIGEST,
                "geometry_ratios": None if ratios is None else json.dumps(ratios),
            }
            add_face(connection, profile, **columns)
        connection.execute(
            """
            INSERT INTO celebrities (
                id, name, image_path, embedding, pack_digest, geometry_ratios, age, symmetry_score,
                skin_tone_lab, expression
            )
            SELECT
                id, '', '', embedding, pack_digest, geometry_ratios, age, symmetry_score, skin_tone_lab,
                expression
            FROM faces
            """
        )
        query = f"""
            SELECT f.*, match_score(embedding, geometry, age, symmetry, skin_tone, expression, %s)
            FROM ({PAIRS_IN_SQL.format(view=view)}) AS f
        """
        found = np.array(connection.execute(query, [json.dumps(weights.as_dict())]).fetchall(), float)
    traits = Traits.of(stored)
    expected = all_factors(traits, traits)
    np.testing.assert_allclose(found[:, :6].T.reshape(expected.shape), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[:, 6].reshape(PAIRS, PAIRS), score(expected, weights), rtol=0, atol=1e-6)
    assert found.min() >= 0 and found.max() <= 1


def test_the_database_lists_expressions_in_the_same_order(connection: psycopg.Connection) -> None:
    profile = add_profile(connection)
    for number, name in enumerate(EMOTIONS):
        face = add_face(connection, profile, expression=name)
        row = connection.execute("SELECT expression FROM face_traits WHERE id = %s", [face]).fetchone()
        assert row == (number,)


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e-400", "1e-300", "1" + "0" * 500])
def test_a_number_beyond_float_range_does_not_end_a_search(
    connection: psycopg.Connection, number: str
) -> None:
    profile = add_profile(connection)
    ratios = ", ".join(f'"{name}": {number}' for name in RATIOS)
    add_face(connection, profile, geometry_ratios=f"{{{ratios}}}", symmetry_score="5e-324")
    add_face(connection, profile)
    rows = connection.execute(PAIRS_IN_SQL.format(view="face_traits")).fetchall()
    assert len(rows) == 4


def test_the_documentation_states_these_rules() -> None:
    def text(*values: float) -> str:
        return ", ".join(f"{value:g}".removeprefix("0") or "0" for value in values)

    (near, best), (nearer, good), (far, fair) = AGE_FACTORS
    lab = ", ".join(f"{name} {value:g}" for name, value in zip("Lab", DEFAULT_LAB, strict=True))
    rows = {
        "embedding": ("cosine of the two embeddings, 0 below 0", "0"),
        "geometry": (
            "1 - the Euclidean distance of four ratios of the face, at least 0",
            text(*DEFAULT_RATIOS),
        ),
        "age": (
            f"gap ≤ {near} years {text(best)}, ≤ {nearer} {text(good)}, ≤ {far} {text(fair)}, "
            f"else {text(FAR_AGE_FACTOR)}",
            text(DEFAULT_AGE),
        ),
        "symmetry": ("the mean of both", text(DEFAULT_SYMMETRY)),
        "skin tone": (f"1 - CIE76 distance / {text(SKIN_TONE_SCALE)}, at least 0", lab),
        "expression": (f"the same 1, else {text(OTHER_EXPRESSION_FACTOR)}", DEFAULT_EXPRESSION),
    }
    documented = (Path(__file__).parents[2] / "docs" / "matching.md").read_text()
    documented = " ".join(documented.replace("\N{MINUS SIGN}", "-").split())
    weights = [f"{weight:.2f}".removeprefix("0") for weight in Weights().as_tuple()]
    for (name, (value, missing)), weight in zip(rows.items(), weights, strict=True):
        assert f"| {name} | {weight} | {value} | {missing} |" in documented
    assert f"Up to {BEST} matches of each kind" in documented
    assert f"quality is at least {text(MIN_QUALITY)}" in documented
