"""Eight bits a dimension: errors are bounded, and the search that begins with them finds the exact best."""

from __future__ import annotations

from collections.abc import Iterator

import numkong
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from matching import ranking
from matching.quantized import FEW, Codes, QuantizedTraits, products
from matching.ranking import ROUNDING, Owners, Ranking, best_matches
from matching.scoring import BEST
from matching.traits import Floats, Traits, unit
from semblance.weights import Weights
from tests.support.all_pairs import all_scores

TARGETS = 120


def vectors(kind: str, count: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Unit vectors that are hard to tell apart in eight bits, or easy to get wrong."""
    drawn = random.standard_normal((count, 512))
    base = random.standard_normal(512)
    if kind == "one photo, hardly changed":
        drawn = base + 1e-4 * drawn
    elif kind == "duplicates":
        drawn = drawn[random.integers(0, min(5, count), count)]
    elif kind == "some missing":
        drawn[random.random(count) < 0.4] = 0
    elif kind == "all missing":
        drawn[:] = 0
    elif kind == "one large dimension":
        # The scale leaves little for the others.
        drawn[:, 3] = 40 * np.sign(base[0])
    elif kind == "single dimensions":
        drawn = np.eye(512)[random.integers(0, 4, count)] * random.choice([-1, 1], (count, 1))
    elif kind == "opposite":
        drawn = base * random.choice([-1, 1], (count, 1)) + 0.05 * drawn
    elif kind == "128 dimensions":
        drawn[:, 128:] = 0
    elif kind == "mixed dimensions":
        drawn[: count // 2, 64:] = 0
    return unit(drawn).astype(np.float32)


KINDS = [
    "usual",
    "one photo, hardly changed",
    "duplicates",
    "some missing",
    "all missing",
    "one large dimension",
    "single dimensions",
    "opposite",
    "128 dimensions",
    "mixed dimensions",
]


def faces(kind: str, count: int, random: np.random.Generator, *, alike: bool) -> Traits:
    """Faces with such embeddings; if `alike`, only the embeddings tell them apart."""
    spread = 0.0 if alike else 1.0
    lab = np.array([[65], [10], [20]]) + spread * random.uniform(-40, 35, (3, count))
    return Traits(
        embedding=vectors(kind, count, random),
        geometry=(0.5 + spread * random.uniform(-0.4, 0.4, (4, count))).astype("f4"),
        age=(30 + spread * random.integers(-30, 121, count)).astype(np.int16),
        symmetry=(0.5 + spread * random.uniform(-0.5, 0.5, count)).astype("f4"),
        skin_tone=lab.astype("f4"),
        expression=(spread * random.integers(0, 7, count)).astype(np.int8),
    )


weights = st.one_of(
    st.just(Weights()),
    st.sampled_from([Weights(*row) for row in np.eye(6).tolist()]),
    st.integers(0, 2**32 - 1).map(
        lambda seed: Weights(*np.random.default_rng(seed).dirichlet(np.full(6, 0.4)).tolist())
    ),
)
cases = given(
    kind=st.sampled_from(KINDS),
    other=st.sampled_from(KINDS),
    alike=st.booleans(),
    probes=st.sampled_from([1, 2, FEW + 1]),
    terms=weights,
    threshold=st.sampled_from([0.0, 0.3, 0.5, 0.8, 1.0]),
    people=st.sampled_from([3, 25, TARGETS]),
    seed=st.integers(0, 2**32 - 1),
)


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterator[None]:
    """A few faces then fill many blocks, the last one partly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "PROBE_BLOCK", 8)
        patch.setattr(ranking, "PAIRS", 256)
        patch.setattr(ranking, "TARGET_BLOCK", 50)
        patch.setattr(ranking, "EXACT_PAIRS", 40)
        yield


def best_by_hand(scores: Floats, person: NDArray[np.int64], threshold: float) -> list[int]:
    """Places of the best photos of the best people of one probe; ties go to the smaller place."""
    chosen: dict[int, int] = {}
    for place in np.lexsort((np.arange(len(scores)), -np.round(scores, 9))).tolist():
        if scores[place] >= threshold:
            chosen.setdefault(int(person[place]), place)
    return list(chosen.values())[:BEST]


@cases
@settings(max_examples=60, deadline=None)
def test_the_best_are_those_of_scoring_every_pair(
    *,
    kind: str,
    other: str,
    alike: bool,
    probes: int,
    terms: Weights,
    threshold: float,
    people: int,
    seed: int,
) -> None:
    random = np.random.default_rng(seed)
    targets = faces(kind, TARGETS, random, alike=alike)
    wanted = Traits.joined([
        targets.take(slice(0, probes // 2)),
        faces(other, probes - probes // 2, random, alike=alike),
    ])  # fmt: skip
    person = random.integers(0, people, TARGETS) if people < TARGETS else np.arange(TARGETS)
    exact = all_scores(wanted, targets, terms)

    found = best_matches(wanted, targets, np.arange(TARGETS), terms, threshold, person=person)
    for probe, row in enumerate(exact):
        assert found.target[found.probe == probe].tolist() == best_by_hand(row, person, threshold)

    # The gallery has the codes alone, and some targets are not eligible.
    stored = QuantizedTraits.of(targets)
    allowed = random.random((probes, TARGETS)) < random.random((probes, 1))
    engine = Ranking(wanted, terms, threshold)
    for first in range(0, TARGETS, 70):
        part = slice(first, first + 70)
        engine.add(stored.take(part), first, allowed[:, part], Owners.of(person[part]))
    near = engine.near_best(lambda places: (stored.take(places).traits(), stored.codes.error[places]))
    slack = ROUNDING + terms.embedding * stored.codes.error
    for probe, row in enumerate(exact):
        eligible = np.flatnonzero(allowed[probe])
        best = {int(eligible[place]) for place in best_by_hand(row[eligible], person[eligible], threshold)}
        mine = near.target[near.probe == probe]
        assert best <= set(mine.tolist()) <= set(eligible.tolist())
        least = min((row[place] for place in best), default=1.0) if len(best) == BEST else threshold
        assert (row[mine] + 2 * slack[mine] >= least - 2 * slack.max()).all()


@given(kind=st.sampled_from(KINDS), other=st.sampled_from(KINDS), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_errors_are_bounded(kind: str, other: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b = vectors(kind, 5, random), vectors(other, 60, random)
    probes, targets = Codes.of(a), Codes.of(b)
    for codes, true in ((probes, a), (targets, b)):
        distances = np.linalg.norm(codes.embeddings().astype(np.float64) - true, axis=1)
        assert (distances <= codes.error).all()
        # In 512 dimensions rounding to 127 levels moves a usual embedding by a hundredth.
        assert kind == "one large dimension" or other == "one large dimension" or codes.error.max() < 0.02
    cosines = products(targets)(probes) * probes.scale[:, None].astype(float) * targets.scale
    bound = (1 + probes.error[:, None]) * targets.error + probes.error[:, None] + 1e-6
    assert (np.abs(cosines - a.astype(float) @ b.T) <= bound).all()


@pytest.mark.parametrize("probes", [1, 2, FEW, FEW + 1])
@pytest.mark.parametrize("dimensions", [64, 512])
def test_products_are_exact_on_every_processor(probes: int, dimensions: int) -> None:
    """Each of the processor's extensions is turned off in turn, down to plain C."""
    random = np.random.default_rng(probes)
    values = random.integers(-127, 128, (300, 512), dtype=np.int8)
    values[:40] = 127 * random.choice([-1, 1], (40, 1))
    ones = np.ones(300, np.float32)
    targets = Codes(values, ones, ones)
    chosen = Codes(values[30 : 30 + probes, :dimensions], ones[:probes], ones[:probes])
    exact = chosen.values.astype(int) @ values[:, :dimensions].astype(int).T
    extensions = [
        name for name, present in numkong.get_capabilities().items() if present and name != "serial"
    ]
    try:
        for name in [None, *reversed(extensions)]:
            if name is not None:
                numkong.disable_capability(name)
            np.testing.assert_array_equal(products(targets)(chosen), exact)
    finally:
        for name in extensions:
            numkong.enable_capability(name)


def test_zeros_at_the_end_are_not_stored() -> None:
    random = np.random.default_rng(1)
    narrow, wide = Codes.of(vectors("128 dimensions", 9, random)), Codes.of(vectors("usual", 4, random))
    assert (narrow.dimensions, wide.dimensions) == (128, 512)
    assert Codes.of(np.zeros((3, 512), np.float32)).dimensions == 64
    both = Codes.empty(9)
    both.put(np.arange(9), narrow)
    assert both.dimensions == 128
    both.put(np.arange(4), wide)
    both.put(np.array([1]), narrow.take(np.array([7])))
    expected = np.concatenate([wide.embeddings(), narrow.embeddings()[4:]])
    expected[1] = narrow.embeddings()[7]
    np.testing.assert_array_equal(both.embeddings(), expected)
