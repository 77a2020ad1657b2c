"""Screens keep the pairs that the way without one keeps: the graph, which runs on CUDA where that is there,
elsewhere on the CPU, and that of the processor, with products of onnxruntime and of numkong."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from deployments import screen as screens
from deployments.packs import sessions
from deployments.packs.sessions import CPU, CUDA, has_cuda
from deployments.products import exact_products, products_graph
from deployments.screen import GraphScreen, open_gpu_screen
from matching import integer_screen, ranking
from matching.estimates import MARGIN, PairScreen, ProbeSide, TargetSide, target_terms
from matching.integer_screen import IntegerScreen
from matching.quantized import QuantizedTraits
from matching.ranking import Owners, Ranking
from matching.scoring import BEST
from semblance.errors import ConfigurationError
from semblance.settings import Settings
from semblance.weights import Weights
from tests.support.all_pairs import all_scores, best_by_hand
from tests.support.hard_faces import TARGETS, HardCase, faces, hard_cases

EVERYTHING = slice(0, TARGETS)


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterator[None]:
    """The processor has the first few targets, and the device the others, a few at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "PROBE_BLOCK", 8)
        patch.setattr(ranking, "FIRST_TARGETS", 20)
        patch.setattr(ranking, "SAMPLE", 10)
        patch.setattr(GraphScreen, "most", 45)
        patch.setattr(IntegerScreen, "most", 45)
        patch.setattr(integer_screen, "PIECE", 16)
        yield


def by_onnxruntime() -> IntegerScreen:
    products = exact_products(products_graph())
    return IntegerScreen() if products is None else IntegerScreen(products)


@pytest.fixture(
    scope="module",
    params=[lambda: GraphScreen(Settings()), by_onnxruntime, IntegerScreen],
    ids=["graph", "onnxruntime", "numkong"],
)
def screen(request: pytest.FixtureRequest) -> PairScreen:
    opened: PairScreen = request.param()
    return opened


@given(case=hard_cases())
@settings(max_examples=60, deadline=None)
def test_the_best_are_those_of_scoring_every_pair(
    screen: PairScreen,
    case: HardCase,
) -> None:
    wanted, targets, person = case.probes, case.targets, case.person
    terms, threshold = case.weights, case.threshold
    stored = QuantizedTraits.of(targets)
    engine = Ranking(wanted, terms, threshold, screen=screen)
    for part in (slice(0, 70), slice(70, TARGETS)):
        engine.add(stored.take(part), part.start, owners=Owners.of(person[part]))
    near = engine.near_best(lambda places: (targets.take(places), 0.0))
    for probe, row in enumerate(all_scores(wanted, targets, terms)):
        mine = near.target[near.probe == probe]
        best = best_by_hand(row, person, threshold)
        assert set(best) <= set(mine.tolist())
        least = min(row[best], default=1.0) if len(best) == BEST else threshold
        assert (row[mine] >= least - 2 * ranking.ROUNDING).all()


@pytest.mark.parametrize("terms", [Weights(), *(Weights(*row) for row in np.eye(6).tolist())])
def test_estimates_are_those_of_the_processor(screen: PairScreen, terms: Weights) -> None:
    """To the last digits of float32, a small part of the margin."""
    random = np.random.default_rng(1)
    wanted, targets = (faces("mixed dimensions", count, random, alike=False) for count in (7, TARGETS))
    side, stored = ProbeSide(wanted, terms), QuantizedTraits.of(targets)
    rows = slice(0, len(wanted))
    block = TargetSide(stored, side)
    expected = side.without_distances(rows, block).copy()
    side.subtract_distances(rows, block, expected)
    found = on_device(screen, side, stored, terms, np.full((7, 1), -np.inf, np.float32))
    np.testing.assert_allclose(found, expected, rtol=0, atol=MARGIN / 20)
    # Of each probe, the pairs that reach its least.
    least = np.quantile(expected, np.linspace(0, 1, 7), axis=1).diagonal()[:, None].astype(np.float32)
    some = on_device(screen, side, stored, terms, least)
    sure = np.abs(expected - least) > MARGIN / 20
    assert (np.isnan(some) == (expected < least))[sure].all()


def on_device(
    screen: PairScreen, side: ProbeSide, stored: QuantizedTraits, terms: Weights, least: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The estimates of the pairs that came back; nan for the others."""
    pairs = screen.load(target_terms(stored, terms))
    rows = slice(0, len(least))
    probe, target, estimate = pairs(side.terms(rows, stored.codes.dimensions), least)
    found = np.full((len(least), len(stored)), np.nan, np.float32)
    found[probe, target] = estimate
    return found


def test_products_that_are_not_exact_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor that adds two products of bytes in 16 bits."""

    class Session:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def run(self, _: None, feeds: dict[str, NDArray[np.int8]]) -> list[NDArray[np.float32]]:
            targets, probes = feeds["targets"].astype(np.int32), feeds["probes"].astype(np.int32)
            sums = [targets[:, place : place + 2] @ probes[place : place + 2] for place in range(0, 64, 2)]
            found = np.clip(sums, -(2**15), 2**15 - 1).sum(axis=0) - 128 * probes.sum(axis=0)
            return [found.astype(np.float32)]

    monkeypatch.setattr("onnxruntime.InferenceSession", Session)
    assert exact_products(products_graph()) is None


def test_a_screen_is_opened_only_on_a_gpu() -> None:
    assert open_gpu_screen(Settings(execution_provider="cpu")) is None
    if has_cuda():
        opened = open_gpu_screen(Settings())
        assert opened is None or opened.is_on_gpu
    else:
        assert open_gpu_screen(Settings()) is None
        with pytest.raises(ConfigurationError, match="has no CUDA"):
            open_gpu_screen(Settings(execution_provider="cuda"))


def test_float32_is_not_cut_short_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA would take ten bits of the factors for the differences of squares."""
    asked: list[object] = []

    class Session:
        def __init__(self, _: bytes, *, providers: object, **__: object) -> None:
            asked.append(providers)

        def get_providers(self) -> list[str]:
            return [CUDA]

    for module in (screens, sessions):
        monkeypatch.setattr(module, "available_providers", lambda _: [CUDA, CPU])
    monkeypatch.setattr("onnxruntime.InferenceSession", Session)
    opened = open_gpu_screen(Settings())
    assert opened is not None
    assert opened.is_on_gpu
    assert asked == [[(CUDA, {"use_tf32": "0"}), (CPU, {})]]
