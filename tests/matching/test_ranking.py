"""The ranking engine finds what scoring every pair exactly finds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from matching import ranking
from matching.best import best_in_groups, best_matches, merged
from matching.estimates import MARGIN, ProbeSide, TargetSide
from matching.quantized import QuantizedTraits
from matching.ranking import ROUNDING, RankedPairs, Ranking
from matching.scoring import BEST, factors, score
from matching.traits import Floats, Traits, unit
from semblance.weights import Weights
from tests.support.all_pairs import all_factors, all_scores

ONE_FACTOR = [Weights(*row) for row in np.eye(6).tolist()]


def traits(count: int, seed: int) -> Traits:
    """Random faces in float32, as a gallery has them."""
    random = np.random.default_rng(seed)
    lab = random.random((3, count)) * np.array([[100], [60], [60]]) - np.array([[0], [20], [20]])
    return Traits(
        embedding=unit(random.standard_normal((count, 512)) + 0.1 * random.standard_normal(512)).astype("f4"),
        geometry=(random.random((4, count)) * 0.6 + 0.2).astype("f4"),
        age=random.integers(0, 100, count).astype(np.int16),
        symmetry=random.random(count).astype("f4"),
        skin_tone=lab.astype("f4"),
        expression=random.integers(0, 7, count).astype(np.int8),
    )


def random_weights(seed: int) -> Weights:
    drawn = np.random.default_rng(seed).dirichlet(np.full(6, 0.5))
    return Weights(*drawn.tolist())


def search(probes: Traits, targets: Traits, weights: Weights, threshold: float) -> RankedPairs:
    return best_matches(probes, targets, np.arange(len(targets)), weights, threshold)


def exact_best(scores: Floats, threshold: float) -> list[int]:
    """Places of the best of one probe; ties go to the smaller place."""
    order = np.lexsort((np.arange(len(scores)), -np.round(scores, 9)))[:BEST]
    return [int(place) for place in order if scores[place] >= threshold]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few faces then fill many blocks, the last one partly."""
    monkeypatch.setattr(ranking, "PROBE_BLOCK", 8)
    monkeypatch.setattr(ranking, "PAIRS", 512)
    monkeypatch.setattr(ranking, "FIRST_TARGETS", 100)
    monkeypatch.setattr(ranking, "SAMPLE", 40)
    monkeypatch.setattr(ranking, "EXACT_PAIRS", 50)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.7])
@pytest.mark.parametrize("count", [1, 21])
def test_best_are_those_of_scoring_every_pair(count: int, seed: int, threshold: float) -> None:
    weights = Weights() if seed == 0 else random_weights(seed)
    probes, targets = traits(count, 2 * seed), traits(500, 2 * seed + 1)
    found = search(probes, targets, weights, threshold)
    for probe, row in enumerate(all_scores(probes, targets, weights)):
        expected = exact_best(row, threshold)
        mine = found.probe == probe
        assert found.target[mine].tolist() == expected
        np.testing.assert_allclose(found.score[mine], row[expected], atol=1e-12)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("weights", [Weights(), *ONE_FACTOR])
@pytest.mark.parametrize("threshold", [0.0, 0.7])
def test_only_eligible_targets_count(weights: Weights, threshold: float) -> None:
    probes, targets = traits(21, 1), traits(500, 2)
    allowed: NDArray[np.bool_] = np.random.default_rng(3).random((21, 500)) < np.linspace(0, 1, 21)[:, None]
    engine = Ranking(probes, weights, threshold)
    for first in range(0, 500, 150):
        part = slice(first, first + 150)
        engine.add(QuantizedTraits.of(targets.take(part)), first, allowed[:, part])
    found = engine.near_best(lambda places: (targets.take(places), 0.0))
    for probe, row in enumerate(all_scores(probes, targets, weights)):
        mine = set(found.target[found.probe == probe].tolist())
        eligible = np.flatnonzero(allowed[probe])
        best = {int(eligible[place]) for place in exact_best(row[eligible], threshold)}
        assert best <= mine <= set(eligible.tolist())
        # The others could be among the best.
        least = min([row[place] for place in best], default=1.0) if len(best) == BEST else threshold
        assert all(row[place] >= least - 3 * ROUNDING for place in mine)


def test_a_search_where_everything_ties_scores_exactly_a_few_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By expression alone a face ties with a seventh of the others, which are not all in memory at once."""
    monkeypatch.setattr(ranking, "EXACT_PAIRS", 100)
    probes, targets = traits(10, 1), traits(700, 2)
    most = 0

    def targets_at(places: NDArray[np.intp]) -> tuple[Traits, float]:
        nonlocal most
        most = max(most, len(places))
        return targets.take(places), 0.0

    engine = Ranking(probes, ONE_FACTOR[5], 0.5)
    engine.add(QuantizedTraits.of(targets), 0)
    found = engine.near_best(targets_at)
    same = probes.expression[:, None] == targets.expression
    assert len(found.probe) == np.count_nonzero(same)
    assert most == 100


def test_equal_targets_are_taken_by_their_place() -> None:
    probes, one = traits(3, 1), traits(1, 2)
    copies = one.take(np.zeros(300, np.intp))
    found = search(probes, copies, Weights(), 0.0)
    assert found.target.tolist() == list(range(20)) * 3


def test_searches_of_parts_merge_to_the_search_of_all() -> None:
    probes, targets, places = traits(9, 3), traits(400, 4), np.arange(400)
    expected = search(probes, targets, Weights(), 0.2)
    found = merged([
        best_matches(probes, targets.take(part), places[part], Weights(), 0.2)
        for part in (slice(250, 400), slice(0, 250))
    ])  # fmt: skip
    assert len(found.probe) == 9 * 20
    for name in ("probe", "target", "score", "factors"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-12)
    assert len(merged([]).probe) == 0


def test_groups_are_searched_apart() -> None:
    faces = traits(300, 5)
    women, men, others = np.split(np.arange(300), [100, 220])
    found = best_in_groups(faces, [(women, men), (others, women)], Weights(), 0.2)
    for probes, targets in ((women, men), (others, women)):
        expected = search(faces.take(probes), faces.take(targets), Weights(), 0.2)
        mine = np.isin(found.probe, probes)
        assert found.probe[mine].tolist() == probes[expected.probe].tolist()
        assert found.target[mine].tolist() == targets[expected.target].tolist()
    assert not np.isin(found.probe, men).any()


@pytest.mark.parametrize("seed", [1, 2])
def test_the_margin_is_several_times_the_error(seed: int) -> None:
    probes = traits(50, seed)
    # Two photos of one face are where the squared distances cancel.
    targets = Traits.joined([traits(1000, seed + 100), probes])
    exact, stored = all_factors(probes, targets), QuantizedTraits.of(targets)
    for weights in (Weights(), *ONE_FACTOR):
        side = ProbeSide(probes, weights)
        block = TargetSide(stored, side)
        estimates = side.without_distances(slice(None), block)
        side.subtract_distances(slice(None), block, estimates)
        error = np.abs(estimates - score(exact, weights))
        assert (error.max(axis=1) < side.margin(slice(None), stored.codes) - MARGIN / 2).all()


def test_a_face_alone_is_compared_with_all() -> None:
    a, b = traits(50, 1), traits(50, 2)
    pairs = np.einsum("fnn->fn", all_factors(a, b))
    np.testing.assert_allclose(factors(a, b), pairs, atol=1e-12)
    np.testing.assert_array_equal(factors(a.take(slice(1)), b), factors(b, a.take(slice(1))))


@pytest.mark.parametrize(("probes", "targets"), [(3, 0), (0, 3), (0, 0)])
def test_nothing_to_compare_finds_nothing(probes: int, targets: int) -> None:
    assert len(search(traits(probes, 1), traits(targets, 2), Weights(), 0.5).probe) == 0
