"""A person with several photos counts once, by the best of them: as scoring every pair exactly finds it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from matching import ranking
from matching.best import best_matches, merged
from matching.quantized import QuantizedTraits
from matching.ranking import ROUNDING, Owners, Ranking
from matching.scoring import BEST
from matching.traits import Traits, unit
from semblance.weights import Weights
from tests.support.all_pairs import all_scores, best_by_hand

TARGETS = 500


def traits(count: int, seed: int) -> Traits:
    """Random faces in float32, as a gallery has them."""
    random = np.random.default_rng(seed)
    return Traits(
        embedding=unit(random.standard_normal((count, 512))).astype("f4"),
        geometry=(random.random((4, count)) * 0.6 + 0.2).astype("f4"),
        age=random.integers(0, 100, count).astype(np.int16),
        symmetry=random.random(count).astype("f4"),
        skin_tone=(random.random((3, count)) * 60).astype("f4"),
        expression=random.integers(0, 7, count).astype(np.int8),
    )


def people_of(kind: str) -> NDArray[np.int64]:
    """Whose 500 photos are: a few people of many, one with most, pairs, or as it comes."""
    random = np.random.default_rng(7)
    drawn = {
        "singles": np.arange(TARGETS),
        "pairs": np.arange(TARGETS) // 2,
        "crowds": random.integers(0, 25, TARGETS),
        "few": random.integers(0, 5, TARGETS),
        "one has most": np.where(np.arange(TARGETS) % 5, -1, np.arange(TARGETS)),
        "skewed": (random.pareto(0.7, TARGETS) * 3).astype(np.int64),
    }[kind]
    return random.permutation(drawn.astype(np.int64))


KINDS = ["singles", "pairs", "crowds", "few", "one has most", "skewed"]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that few faces fill many blocks, the last of them partly."""
    monkeypatch.setattr(ranking, "PROBE_BLOCK", 8)
    monkeypatch.setattr(ranking, "PAIRS", 512)
    monkeypatch.setattr(ranking, "EXACT_PAIRS", 50)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 21])
@pytest.mark.parametrize("threshold", [0.0, 0.6])
def test_each_person_is_found_once_by_the_best_photo(kind: str, count: int, threshold: float) -> None:
    person, probes, targets = people_of(kind), traits(count, 1), traits(TARGETS, 2)
    places = np.arange(TARGETS)
    found = best_matches(probes, targets, places, Weights(), threshold, person=person)
    for probe, row in enumerate(all_scores(probes, targets, Weights())):
        mine = found.probe == probe
        assert found.target[mine].tolist() == best_by_hand(row, person, threshold)
        assert found.person[mine].tolist() == person[found.target[mine]].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_people_are_merged_across_parts(kind: str) -> None:
    person, probes, targets = people_of(kind), traits(9, 3), traits(TARGETS, 4)
    places = np.arange(TARGETS)
    expected = best_matches(probes, targets, places, Weights(), 0.2, person=person)
    found = merged([
        best_matches(probes, targets.take(part), places[part], Weights(), 0.2, person=person[part])
        for part in (slice(300, TARGETS), slice(0, 120), slice(120, 300))
    ])  # fmt: skip
    assert found.target.tolist() == expected.target.tolist()
    assert found.probe.tolist() == expected.probe.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_candidates_of_a_gallery_hold_the_best_people(kind: str) -> None:
    person, probes, targets = people_of(kind), traits(21, 5), traits(TARGETS, 6)
    allowed = np.random.default_rng(8).random((21, TARGETS)) < np.linspace(0, 1, 21)[:, None]
    engine = Ranking(probes, Weights(), 0.3)
    for first in range(0, TARGETS, 150):
        part = slice(first, first + 150)
        engine.add(QuantizedTraits.of(targets.take(part)), first, allowed[:, part], Owners.of(person[part]))
    found = engine.near_best(lambda places: (targets.take(places), 0.0))
    for probe, row in enumerate(all_scores(probes, targets, Weights())):
        eligible = np.flatnonzero(allowed[probe])
        best = {int(eligible[place]) for place in best_by_hand(row[eligible], person[eligible], 0.3)}
        mine = set(found.target[found.probe == probe].tolist())
        assert best <= mine <= set(eligible.tolist())
        own = {int(person[place]): row[place] for place in best}
        # A second photo of a person is there only if it may be the better one.
        again = [place for place in mine - best if int(person[place]) in own]
        assert all(row[place] >= own[int(person[place])] - 3 * ROUNDING for place in again)


@pytest.mark.parametrize("kind", KINDS)
def test_a_crowd_is_of_enough_people(kind: str) -> None:
    person = people_of(kind)
    owners = Owners.of(person)
    # The worst choice: all photos of those who have the most.
    _, number, counts = np.unique(person, return_inverse=True, return_counts=True)
    worst = np.argsort(-counts[number], kind="stable")
    if owners.crowd <= TARGETS:
        assert len(np.unique(person[worst[: owners.crowd]])) >= BEST
