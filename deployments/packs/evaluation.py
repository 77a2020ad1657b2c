"""How well similarities tell the same person from two people, measured on labelled pairs of photos.

All intervals are 95 % intervals and treat pairs as independent; if photos or people occur in many pairs, the
true intervals are wider.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deployments.packs.proportions import TWO_SIDED, wilson

RATES: Final = (0.1, 0.01, 0.001, 0.0001, 0.00001)
"""False accept rates at which the true accept rate is reported."""

FOLDS: Final = 10
"""Number of parts of the pairs. Each is judged with the threshold that is best for the others, as in LFW
(Huang et al., "Labeled Faces in the Wild", 2007)."""

Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Share:
    """A share of `of` pairs and the bounds of its interval, 0..1."""

    value: float
    low: float
    high: float
    of: int

    @classmethod
    def counted(cls, hits: Flags) -> Share | None:
        """The share of true flags, with Wilson's interval; None without any flag."""
        if not len(hits):
            return None
        value = float(hits.mean())
        return cls(value, *wilson(value, len(hits)), len(hits))


@dataclass(frozen=True, slots=True)
class Operating:
    """The effect of a threshold. true_accepts: share of the pairs of the same person that reach it.
    false_accepts: share of the pairs of two people that reach it. None without any pair of the kind."""

    threshold: float
    true_accepts: Share | None
    false_accepts: Share | None

    @classmethod
    def at(cls, threshold: float, similarity: Floats, same: Flags) -> Operating:
        reaches = similarity >= threshold
        return cls(threshold, Share.counted(reaches[same]), Share.counted(reaches[~same]))


@dataclass(frozen=True, slots=True)
class AtRate:
    """The lowest threshold at which at most `false_accept_rate` of the pairs of two people are accepted, and
    its effect."""

    false_accept_rate: float
    operating: Operating


@dataclass(frozen=True, slots=True)
class Measures:
    """Measured on some pairs.

    same, different: how many pairs show the same person, how many two people. auc: probability that a pair of
    the same person is more alike than a pair of two people; None without pairs of both kinds. accuracy: right
    decisions at the pack's own threshold. folded_accuracy: with thresholds found on other pairs (`FOLDS`);
    None with fewer than that many pairs of either kind. at_threshold: at the pack's threshold. at_rates: as
    far as there are enough pairs of two people for one false accept.
    """

    same: int
    different: int
    auc: Share | None
    accuracy: Share | None
    folded_accuracy: Share | None
    at_threshold: Operating
    at_rates: tuple[AtRate, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """overall: all pairs. groups: the pairs of each group, with the thresholds of all pairs in `at_rates`,
    because a service has one threshold for everybody."""

    threshold: float
    overall: Measures
    groups: dict[str, Measures]


def evaluate(
    similarity: Floats, same: Flags, threshold: float, groups: Sequence[str | None] | None = None
) -> Evaluation:
    """Evaluate N labelled pairs.

    Args:
        similarity: float64 [N], -1..1.
        same: bool [N], whether a pair shows the same person.
        threshold: the pack's own.
        groups: the group of each pair, None for a pair without one.
    """
    at_rates = tuple(_thresholds(similarity[~same]))
    labels = np.array([group or "" for group in groups or [""] * len(same)])
    members = {str(group): labels == group for group in np.unique(labels) if group}
    return Evaluation(
        threshold,
        _measure(similarity, same, threshold, at_rates),
        {
            group: _measure(similarity[chosen], same[chosen], threshold, at_rates)
            for group, chosen in members.items()
        },
    )


def worst(similarity: Floats, same: Flags, number: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of the most alike pairs of two people, and of the least alike pairs of the same person: at most
    `number` of each, the worst first."""
    order = np.argsort(similarity, kind="stable")
    false_accepts = order[::-1][~same[order[::-1]]]
    false_rejects = order[same[order]]
    return false_accepts[:number], false_rejects[:number]


def area_under_curve(same: Floats, different: Floats) -> Share:
    """The area under the ROC curve: Mann and Whitney's statistic of two samples that are not empty, with
    Newcombe's interval ("Confidence intervals for an effect size measure based on the Mann-Whitney statistic.
    Part 2", 2006, method 5), which has a width even at 1."""
    ordered = np.sort(different)
    below = np.searchsorted(ordered, same, "left")
    up_to = np.searchsorted(ordered, same, "right")
    value = float((below + up_to).mean() / (2 * len(different)))
    m, n = len(same), len(different)
    extra = (m + n) / 2 - 1

    def deviation(area: float) -> float:
        """Distance of the value from this area, in standard errors of the area."""
        variance = area * (1 - area) * (1 + extra * ((1 - area) / (2 - area) + area / (1 + area))) / (m * n)
        return abs(value - area) / sqrt(max(variance, 1e-300))

    def bound(outer: float) -> float:
        inner = value
        for _ in range(60):
            middle = (inner + outer) / 2
            inner, outer = (middle, outer) if deviation(middle) < TWO_SIDED else (inner, middle)
        return inner

    return Share(value, bound(0.0), bound(1.0), m * n)


def _measure(
    similarity: Floats, same: Flags, threshold: float, thresholds: Sequence[tuple[float, float]]
) -> Measures:
    matched, strangers = similarity[same], similarity[~same]
    both = bool(len(matched) and len(strangers))
    return Measures(
        same=len(matched),
        different=len(strangers),
        auc=area_under_curve(matched, strangers) if both else None,
        accuracy=Share.counted((similarity >= threshold) == same),
        folded_accuracy=_folded(similarity, same),
        at_threshold=Operating.at(threshold, similarity, same),
        at_rates=tuple(AtRate(rate, Operating.at(at, similarity, same)) for rate, at in thresholds),
    )


def _thresholds(strangers: Floats) -> list[tuple[float, float]]:
    """The lowest threshold for each rate that the number of pairs supports."""
    falling = np.sort(strangers)[::-1]
    found = []
    for rate in RATES:
        allowed = int(rate * len(falling) + 1e-9)
        if allowed < 1:
            break
        # Just above the first pair that may not be accepted, also if others are as alike.
        refused = falling[allowed] if allowed < len(falling) else -1.0
        found.append((rate, float(np.nextafter(refused, 2))))
    return found


def _folded(similarity: Floats, same: Flags) -> Share | None:
    if min(same.sum(), (~same).sum()) < FOLDS:
        return None
    # At random but always the same, with the same number of either kind in each fold.
    fold = np.empty(len(same), np.intp)
    generator = np.random.default_rng(0)
    for kind in (same, ~same):
        fold[kind] = generator.permutation(np.arange(kind.sum()) % FOLDS)
    right = np.zeros(len(same), np.bool_)
    for held in range(FOLDS):
        others = fold != held
        right[~others] = (similarity[~others] >= _best_threshold(similarity[others], same[others])) == same[
            ~others
        ]
    return Share.counted(right)


def _best_threshold(similarity: Floats, same: Flags) -> float:
    """The threshold with the most right decisions: the middle between two similarities."""
    order = np.argsort(similarity)
    values, kinds = similarity[order], same[order]
    # Right decisions if the first k are rejected and the others accepted.
    right = np.concatenate([[0], np.cumsum(~kinds)]) + np.concatenate([np.cumsum(kinds[::-1])[::-1], [0]])
    edges = np.concatenate([[values[0] - 1], (values[1:] + values[:-1]) / 2, [values[-1] + 1]])
    return float(edges[int(np.argmax(right))])
