"""The figures of an evaluation, compared with slow computations and published values."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from deployments.packs.evaluation import RATES, area_under_curve, evaluate, worst
from deployments.packs.proportions import wilson


def sample(same: int, different: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Similarities that overlap, and whether each pair is of one person."""
    generator = np.random.default_rng(seed)
    similarity = np.concatenate([generator.normal(0.6, 0.15, same), generator.normal(0.1, 0.15, different)])
    return np.clip(similarity, -1, 1), np.arange(same + different) < same


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_as_published(hits: int, trials: int, low: float, high: float) -> None:
    assert wilson(hits / trials, trials) == pytest.approx((low, high), abs=5e-5)


def test_wilson_stays_within_0_and_1() -> None:
    for trials in (1, 3, 1000):
        assert wilson(0, trials)[0] == 0 < wilson(0, trials)[1] < 1
        assert wilson(1, trials)[1] == 1 > wilson(1, trials)[0] > 0


def test_auc_is_the_share_of_right_orders_with_ties_as_half() -> None:
    generator = np.random.default_rng(0)
    same, different = generator.integers(3, 10, 40) / 10, generator.integers(0, 7, 60) / 10
    slow = np.mean([1.0 if a > b else 0.5 * (a == b) for a, b in product(same, different)])
    area = area_under_curve(same, different)
    assert area.value == pytest.approx(slow)
    assert area.low < area.value < area.high
    assert area.of == 2400


@pytest.mark.parametrize(
    ("same", "different", "value"), [([1.0], [0.0], 1), ([0.0], [1.0], 0), ([0.5], [0.5], 0.5)]
)
def test_auc_of_0_or_1_has_an_interval_with_a_width(
    same: list[float], different: list[float], value: float
) -> None:
    few = area_under_curve(np.array(same * 5), np.array(different * 5))
    many = area_under_curve(np.array(same * 500), np.array(different * 500))
    for area in (few, many):
        assert area.value == value
        assert 0 <= area.low <= value <= area.high <= 1
    assert few.high - few.low > 10 * (many.high - many.low) > 0 or value == 0.5


def test_auc_intervals_hold_the_true_area() -> None:
    true = area_under_curve(*(sample(4000, 4000, 99)[0][part] for part in (slice(4000), slice(4000, None))))
    held = 0
    for seed in range(100):
        similarity, same = sample(25, 40, seed)
        area = area_under_curve(similarity[same], similarity[~same])
        held += area.low <= true.value <= area.high
    assert held >= 90


def test_true_accepts_are_reported_at_rates_that_hold() -> None:
    similarity, same = sample(500, 2000)
    evaluation = evaluate(similarity, same, 0.35)
    assert [at.false_accept_rate for at in evaluation.overall.at_rates] == [0.1, 0.01, 0.001]
    for at in evaluation.overall.at_rates:
        accepted = similarity >= at.operating.threshold
        assert at.operating.false_accepts is not None
        assert at.operating.true_accepts is not None
        assert at.operating.false_accepts.value == accepted[~same].mean() <= at.false_accept_rate
        assert at.operating.true_accepts.value == accepted[same].mean()
        # No lower threshold meets the rate.
        below = np.nextafter(at.operating.threshold, -1)
        assert (similarity[~same] >= below).mean() > at.false_accept_rate


@pytest.mark.parametrize("ties", [5, 15, 40])
def test_equal_similarities_do_not_exceed_a_rate(ties: int) -> None:
    similarity = np.concatenate([np.linspace(-0.5, 0.2, 100 - ties), np.full(ties, 0.7), np.full(10, 0.8)])
    same = np.arange(110) >= 100
    evaluation = evaluate(similarity, same, 0.5)
    for at in evaluation.overall.at_rates:
        assert at.operating.false_accepts is not None
        assert at.operating.false_accepts.value <= at.false_accept_rate


@pytest.mark.parametrize("different", [0, 9, 10, 99, 100, 10_000])
def test_rates_that_the_pairs_cannot_support_are_not_reported(different: int) -> None:
    similarity, same = sample(20, different)
    told = [at.false_accept_rate for at in evaluate(similarity, same, 0.35).overall.at_rates]
    assert told == [rate for rate in RATES if rate * different >= 1 - 1e-9]


def test_accuracy_by_the_packs_threshold_and_by_one_found_on_other_pairs() -> None:
    similarity, same = sample(300, 300)
    good, bad = (evaluate(similarity, same, threshold).overall for threshold in (0.35, 0.75))
    assert good.accuracy is not None
    assert good.accuracy.value == ((similarity >= 0.35) == same).mean() > 0.93
    assert bad.accuracy is not None
    assert bad.accuracy.value < 0.7
    assert good.folded_accuracy == bad.folded_accuracy
    assert good.folded_accuracy is not None
    assert good.folded_accuracy.value == pytest.approx(good.accuracy.value, abs=0.02)


def test_groups_are_judged_by_everybodys_thresholds() -> None:
    similarity, same = sample(400, 4000)
    groups = [("x" if number % 2 else "y") if number % 5 else None for number in range(len(same))]
    similarity[[group == "x" for group in groups]] += 0.1
    evaluation = evaluate(similarity, same, 0.35, groups)
    assert evaluation.groups.keys() == {"x", "y"}
    for at, x, y in zip(
        evaluation.overall.at_rates,
        evaluation.groups["x"].at_rates,
        evaluation.groups["y"].at_rates,
        strict=True,
    ):
        assert at.operating.threshold == x.operating.threshold == y.operating.threshold
        assert x.operating.false_accepts is not None
        assert y.operating.false_accepts is not None
        assert x.operating.false_accepts.value > y.operating.false_accepts.value
    assert evaluation.groups["x"].different + evaluation.groups["y"].different < evaluation.overall.different


@pytest.mark.parametrize(("same", "different"), [(5, 0), (0, 5), (1, 1)])
def test_unsupported_figures_are_null(same: int, different: int) -> None:
    measures = evaluate(*sample(same, different), 0.35).overall
    assert (measures.auc is None) == (0 in {same, different})
    assert measures.folded_accuracy is None
    assert (measures.at_threshold.true_accepts is None) == (same == 0)
    assert (measures.at_threshold.false_accepts is None) == (different == 0)


def test_the_worst_pairs_come_first() -> None:
    similarity = np.array([0.9, 0.2, 0.5, 0.8, -0.1, 0.6])
    same = np.array([True, True, True, False, False, False])
    false_accepts, false_rejects = worst(similarity, same, 2)
    assert false_accepts.tolist() == [3, 5]
    assert false_rejects.tolist() == [1, 2]
