"""The blocked search finds what scoring every pair finds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import matching.ranking
from matching.ranking import MARGIN, best_matches, merged, take
from matching.scoring import Floats, Traits, factors, pair_factors, score, unit
from semblance.weights import Weights


def traits(count: int, seed: int) -> Traits:
    random = np.random.default_rng(seed)
    found = Traits(
        embedding=unit(random.standard_normal((count, 512)) + 0.1 * random.standard_normal(512)),
        geometry=random.random((4, count)) * 0.6 + 0.2,
        age=random.integers(0, 100, count).astype(np.int16),
        symmetry=random.random(count),
        skin_tone=random.random((3, count)) * np.array([[100], [60], [60]]) - np.array([[0], [20], [20]]),
        expression=random.integers(0, 7, count).astype(np.int8),
    )
    return singles(found)


def singles(found: Traits) -> Traits:
    """As they lie in memory: float32."""
    return Traits(
        embedding=found.embedding.astype(np.float32),
        geometry=found.geometry.astype(np.float32),
        age=found.age,
        symmetry=found.symmetry.astype(np.float32),
        skin_tone=found.skin_tone.astype(np.float32),
        expression=found.expression,
    )


def doubles(found: Traits) -> Traits:
    return Traits(
        embedding=found.embedding.astype(np.float64),
        geometry=found.geometry.astype(np.float64),
        age=found.age,
        symmetry=found.symmetry.astype(np.float64),
        skin_tone=found.skin_tone.astype(np.float64),
        expression=found.expression,
    )


def all_scores(probes: Traits, targets: Traits, weights: Weights) -> Floats:
    return score(factors(doubles(probes), doubles(targets)), weights)


def random_weights(seed: int) -> Weights:
    drawn = np.random.default_rng(seed).dirichlet(np.full(6, 0.5))
    return Weights(*drawn.tolist())


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.7])
def test_best_are_those_of_scoring_every_pair(
    seed: int, threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matching.ranking.PROBE_BLOCK", 8)
    monkeypatch.setattr("matching.ranking.TARGET_BLOCK", 64)
    weights = Weights() if seed == 0 else random_weights(seed)
    probes, targets = traits(21, 2 * seed), traits(500, 2 * seed + 1)
    found = best_matches(probes, targets, weights, threshold, best=20)
    exact = all_scores(probes, targets, weights)
    for probe, row in enumerate(exact):
        order = np.lexsort((np.arange(len(row)), -row))[:20]
        order = order[row[order] >= threshold]
        mine = found.probe == probe
        assert found.target[mine].tolist() == order.tolist()
        np.testing.assert_allclose(found.score[mine], row[order], atol=1e-12)


def test_equal_targets_are_taken_by_their_place() -> None:
    probes, one = traits(3, 1), traits(1, 2)
    copies = take(one, np.zeros(300, np.intp))
    found = best_matches(probes, copies, Weights(), 0.0, best=20)
    assert found.target.tolist() == list(range(20)) * 3


def test_searches_of_parts_merge_to_the_search_of_all() -> None:
    probes, targets = traits(9, 3), traits(400, 4)
    expected = best_matches(probes, targets, Weights(), 0.2)
    parts = []
    for part in (slice(250, 400), slice(0, 250)):
        found = best_matches(probes, take(targets, part), Weights(), 0.2)
        parts.append(replace(found, target=found.target + part.start))
    found = merged(parts)
    assert len(found.probe) == 9 * 20
    for name in ("probe", "target", "score", "factors"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-12)
    assert len(merged([]).probe) == 0


def test_the_margin_is_several_times_the_error() -> None:
    for seed in range(5):
        probes, targets = traits(200, 100 + seed), traits(2000, 200 + seed)
        for weights in (Weights(), Weights(0, 0, 0, 0, 1, 0), Weights(0, 1, 0, 0, 0, 0)):
            mine = matching.ranking._ProbeSide(probes, weights)
            near = mine.scores(slice(None), matching.ranking._TargetSide(targets, weights))
            assert np.abs(near - all_scores(probes, targets, weights)).max() < MARGIN / 2


def test_pairs_are_scored_as_all_pairs_are() -> None:
    a, b = traits(50, 1), traits(50, 2)
    every = factors(doubles(a), doubles(b))
    np.testing.assert_allclose(pair_factors(a, b), np.einsum("fnn->fn", every), atol=1e-12)


def test_nothing_to_compare_finds_nothing() -> None:
    assert len(best_matches(traits(3, 1), traits(0, 2), Weights(), 0.5).probe) == 0
    assert len(best_matches(traits(0, 1), traits(3, 2), Weights(), 0.5).probe) == 0
