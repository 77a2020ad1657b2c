"""Eight bits a dimension: errors are bounded, and the search that begins with them finds the exact best."""

from __future__ import annotations

from collections.abc import Iterator

import numkong
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching import ranking
from matching.best import best_matches
from matching.quantized import FEW, Codes, QuantizedTraits, products
from matching.ranking import ROUNDING, Owners, Ranking
from matching.scoring import BEST
from tests.support.all_pairs import all_scores, best_by_hand
from tests.support.hard_faces import KINDS, TARGETS, HardCase, hard_cases, vectors


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterator[None]:
    """A few faces then fill many blocks, the last one partly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "PROBE_BLOCK", 8)
        patch.setattr(ranking, "PAIRS", 256)
        patch.setattr(ranking, "TARGET_BLOCK", 50)
        patch.setattr(ranking, "FIRST_TARGETS", 20)
        patch.setattr(ranking, "SAMPLE", 10)
        patch.setattr(ranking, "EXACT_PAIRS", 40)
        yield


@given(case=hard_cases())
@settings(max_examples=60, deadline=None)
def test_the_best_are_those_of_scoring_every_pair(
    case: HardCase,
) -> None:
    wanted, targets, person = case.probes, case.targets, case.person
    terms, threshold = case.weights, case.threshold
    exact = all_scores(wanted, targets, terms)

    found = best_matches(wanted, targets, np.arange(TARGETS), terms, threshold, person=person)
    for probe, row in enumerate(exact):
        assert found.target[found.probe == probe].tolist() == best_by_hand(row, person, threshold)

    # The gallery has the codes alone, and some targets are not eligible.
    stored = QuantizedTraits.of(targets)
    allowed = case.random.random((len(wanted), TARGETS)) < case.random.random((len(wanted), 1))
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
@pytest.mark.parametrize(
    ("dimensions", "width"), [(64, 64), (64, 512), (128, 128), (192, 192), (256, 256), (512, 512)]
)
@pytest.mark.parametrize("count", [1, 3, 301])
def test_products_are_exact_on_every_processor(probes: int, dimensions: int, width: int, count: int) -> None:
    """Each of the processor's extensions is turned off in turn, down to plain C."""
    random = np.random.default_rng(probes)
    values = random.integers(-127, 128, (301, width), dtype=np.int8)
    values[:40] = 127 * random.choice([-1, 1], (40, 1))
    ones = np.ones(301, np.float32)
    targets = Codes(values[-count:], ones[:count], ones[:count])
    chosen = Codes(values[30 : 30 + probes, :dimensions], ones[:probes], ones[:probes])
    exact = chosen.values.astype(int) @ targets.values[:, :dimensions].astype(int).T
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
