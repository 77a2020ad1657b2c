"""What a similarity means: how rare it is among strangers, and how likely two faces are the same person.

It is measured with one pack, on photos of people whose identity is known. A rate is claimed only if the upper
end of the confidence interval of the measured rate is no higher.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from deployments.packs.manifest import Manifest, Sha256
from deployments.packs.proportions import ONE_SIDED, wilson
from semblance.errors import BadInputError, PackError

CALIBRATION_FILE: Final = "calibration.json"
"""Its name in a pack's folder. It is not part of the pack's digest, because it changes no embedding."""

STEP: Final = 1e-4
"""Similarities are counted in bins of this width, and thresholds are multiples of it."""

LADDER: Final = tuple(step * 10**power for power in range(7) for step in (1, 2, 5) if step * 10**power > 1)
"""The N of "1 in N strangers", as far as the pairs support them: 2, 5, 10 … 5,000,000."""

SHARES: Final = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
"""Shares of pairs whose quantiles are recorded."""

_BINS: Final = round(2 / STEP) + 1
_BLOCK: Final = 128
"""Photos compared with all others at once; with 100,000 photos that takes about 500 MB."""

Similarity = float
Quantile = tuple[float, Similarity]


class _CalibrationModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Rung(_CalibrationModel):
    """At most one in `one_in` strangers has this similarity or more: the upper bound of a one-sided 95 %
    confidence interval."""

    one_in: int = Field(ge=2)
    similarity: float = Field(ge=-1, le=1)


class Strangers(_CalibrationModel):
    """Pairs of photos of two people. people_pairs: number of pairs of people; each counts as one trial,
    however many photos they have. quantiles: a share of pairs, and the similarity that this share stays
    below. rungs: ascending; the last one is the rarest that the pairs support."""

    people_pairs: int = Field(ge=0)
    photo_pairs: int = Field(ge=0)
    quantiles: tuple[Quantile, ...]
    rungs: tuple[Rung, ...]

    @model_validator(mode="after")
    def _rungs_ascend(self) -> Strangers:
        for lower, upper in zip(self.rungs, self.rungs[1:], strict=False):
            if lower.one_in >= upper.one_in or lower.similarity > upper.similarity:
                raise ValueError("rungs must ascend by one_in and by similarity")
        return self


class SamePerson(_CalibrationModel):
    """Pairs of photos of the same person. people: those with two photos or more; each counts the same,
    however many photos they have. quantiles: as of Strangers."""

    people: int = Field(ge=0)
    photo_pairs: int = Field(ge=0)
    quantiles: tuple[Quantile, ...]


class Population(_CalibrationModel):
    """What was measured on some people, one face for each photo."""

    people: int = Field(ge=0)
    photos: int = Field(ge=0)
    strangers: Strangers
    same_person: SamePerson


class Logistic(_CalibrationModel):
    """Probability that two faces are the same person, if that was as likely as not before their similarity
    was known: 1 / (1 + exp(-(slope * similarity + intercept))), clipped to `least` and `most`, the limits of
    what the people measured can show."""

    slope: float = Field(gt=0)
    intercept: float
    least: float = Field(gt=0, lt=0.5)
    most: float = Field(gt=0.5, lt=1)

    def __call__(self, similarity: float) -> float:
        logit = self.slope * similarity + self.intercept
        # Clipped before exp overflows.
        return min(self.most, max(self.least, 1 / (1 + exp(-max(-500.0, min(500.0, logit))))))


class Calibration(Population):
    """`calibration.json` of a pack.

    pack, version, digest: of the pack it was measured with. source: whose photos they were. probability: None
    if nobody had two photos. groups: the same within each group of people, by the group's name; strangers of
    the same group are more alike than strangers in general.
    """

    format: Literal["semblance-calibration/1"]
    pack: str
    version: str
    digest: Sha256
    source: str
    probability: Logistic | None
    groups: dict[str, Population]

    @property
    def most(self) -> int:
        """The largest N of "1 in N strangers" that is supported; 1 if none is."""
        return self.strangers.rungs[-1].one_in if self.strangers.rungs else 1

    def one_in(self, similarity: float) -> int:
        """The largest N such that at most one in N strangers is as alike; 1 if that is not rare."""
        return max((rung.one_in for rung in self.strangers.rungs if rung.similarity <= similarity), default=1)

    def rung(self, false_match_rate: float) -> Rung:
        """The lowest rung at which false matches stay within this rate, 0..1.

        Raises BadInputError if the rate is lower than the calibration supports.
        """
        for rung in self.strangers.rungs:
            if 1 / rung.one_in <= false_match_rate * (1 + 1e-9):
                return rung
        supported = ", ".join(f"{1 / rung.one_in:g}" for rung in self.strangers.rungs) or "none"
        raise BadInputError(
            f"The model pack's calibration cannot promise a false match rate of {false_match_rate:g}: it "
            f"compared {self.strangers.people_pairs} pairs of people, which support {supported}. Ask for a "
            "higher rate. `semblance models calibrate` with photos of more people supports lower rates."
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether two faces count as the same person: they do from the threshold on. false_match_rate: the
    largest share of strangers for whom that is wrong; None if it has not been measured."""

    same_person: bool
    threshold: float
    false_match_rate: float | None


@dataclass(frozen=True, slots=True)
class SimilarityScale:
    """Says what the similarities of one pack mean. threshold, digest: the pack's. calibration: None if it has
    none."""

    threshold: float
    digest: str
    calibration: Calibration | None

    def probability(self, similarity: float) -> float | None:
        """Probability of the same person, as of Logistic; None if that has not been measured."""
        logistic = None if self.calibration is None else self.calibration.probability
        return None if logistic is None else logistic(similarity)

    def decide(self, similarity: float, false_match_rate: float | None = None) -> Decision:
        """Decide at a false match rate that may not be exceeded, or by default at the pack's own threshold.

        Raises BadInputError for a rate that the calibration does not support.
        """
        known = self.calibration
        if false_match_rate is None:
            one_in = 1 if known is None else known.one_in(self.threshold)
            return Decision(similarity >= self.threshold, self.threshold, None if one_in == 1 else 1 / one_in)
        if known is None:
            raise BadInputError(
                "The model pack has no calibration, so no false match rate can be promised. Leave the rate "
                "out to decide by the pack's own threshold, or run `semblance models calibrate`."
            )
        rung = known.rung(false_match_rate)
        return Decision(similarity >= rung.similarity, rung.similarity, 1 / rung.one_in)


def calibrate(
    embeddings: NDArray[np.float32],
    people: Sequence[str],
    *,
    manifest: Manifest,
    source: str,
    groups: Mapping[str, str] | None = None,
) -> Calibration:
    """Calibrate a pack on photos of known people.

    Args:
        embeddings: unit vectors, float32 [N, D], one for each photo.
        people: whom each photo shows, N names.
        manifest: of the pack that embedded them.
        source: whose photos they are, in words.
        groups: the group of each person who has one.

    Pairs of people are treated as independent trials, although each person is in several pairs; with few
    people the true intervals are wider. Raises BadInputError for fewer than two people.
    """
    names = np.array(people)
    if len(set(people)) < 2:
        raise BadInputError(
            "A calibration needs photos of at least two people, a folder for each. Several hundred people "
            "make it useful."
        )
    counts = _count(embeddings, names)
    named = sorted(set((groups or {}).values()))
    members = {group: np.array([(groups or {}).get(each) == group for each in people]) for group in named}
    return Calibration(
        **dict(counts.population()),
        format="semblance-calibration/1",
        pack=manifest.name,
        version=manifest.version,
        digest=manifest.digest,
        source=source,
        probability=counts.logistic(),
        groups={
            group: _count(embeddings[chosen], names[chosen]).population() for group, chosen in members.items()
        },
    )


def read_calibration(path: Path) -> Calibration:
    """Read a calibration from a file; raises PackError that says what is wrong with it."""
    try:
        return Calibration.model_validate_json(path.read_bytes())
    except OSError as exc:
        raise PackError(f"Cannot read the calibration {path}: {exc.strerror}.") from exc
    except ValidationError as exc:
        error = exc.errors()[0]
        raise PackError(
            f"{path} is not a valid calibration: {'.'.join(map(str, error['loc'])) or 'file'}: {error['msg']}"
            ". Make it again with `semblance models calibrate`."
        ) from exc


@dataclass(frozen=True, slots=True)
class _Counts:
    """Pairs by similarity. strangers, same: float64 [_BINS], the weights of the pairs in each bin; they sum
    to 1 unless there are no pairs. All pairs of people have the same weight, and so have all people."""

    people: int
    photos: int
    people_pairs: int
    stranger_pairs: int
    same_people: int
    same_pairs: int
    strangers: NDArray[np.float64]
    same: NDArray[np.float64]

    def population(self) -> Population:
        return Population(
            people=self.people,
            photos=self.photos,
            strangers=Strangers(
                people_pairs=self.people_pairs,
                photo_pairs=self.stranger_pairs,
                quantiles=_quantiles(self.strangers, self.people_pairs),
                rungs=tuple(_rungs(self.strangers, self.people_pairs)),
            ),
            same_person=SamePerson(
                people=self.same_people,
                photo_pairs=self.same_pairs,
                quantiles=_quantiles(self.same, self.same_people),
            ),
        )

    def logistic(self) -> Logistic | None:
        """Platt's fit ("Probabilistic outputs for support vector machines", 1999), with the same weight for
        both kinds of pairs. Its targets are not 0 and 1 but follow from the number of trials, here the
        smaller of the two numbers: with few pairs of one kind, little is known about where others would be.
        Probabilities are clipped to the targets."""
        if not self.same_people:
            return None
        least = 1 / (min(self.people_pairs, self.same_people) + 2)
        fit = _fit(np.arange(_BINS, dtype=np.float64) * STEP - 1, self.strangers, self.same, least)
        return None if fit is None else Logistic(slope=fit[0], intercept=fit[1], least=least, most=1 - least)


def _count(embeddings: NDArray[np.float32], people: NDArray[np.str_]) -> _Counts:
    """Count every pair of photos, a block at a time."""
    _, person, photos_of = np.unique(people, return_inverse=True, return_counts=True)
    photos, number = len(person), len(photos_of)
    people_pairs = number * (number - 1) // 2
    several = photos_of[photos_of > 1]
    share = 1 / photos_of[person]
    # The n * (n - 1) / 2 pairs of one person share the weight of one person.
    own = 2 / np.maximum(photos_of[person] * (photos_of[person] - 1), 1)
    strangers, same = np.zeros(_BINS), np.zeros(_BINS)
    for start in range(0, photos, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, photos))
        similarities = np.clip(embeddings[rows] @ embeddings[start:].T, -1, 1)
        bins = np.floor((similarities + 1) / STEP).astype(np.int32)
        later = np.arange(start, photos)[None, :] > rows[:, None]
        one_person = person[rows][:, None] == person[start:][None, :]
        chosen = later & ~one_person
        weights = share[rows][:, None] * share[start:][None, :]
        strangers += np.bincount(bins[chosen], weights[chosen], _BINS)
        chosen = later & one_person
        same += np.bincount(bins[chosen], np.broadcast_to(own[rows][:, None], bins.shape)[chosen], _BINS)
    same_pairs = int((several * (several - 1) // 2).sum())
    return _Counts(
        people=number,
        photos=photos,
        people_pairs=people_pairs,
        stranger_pairs=photos * (photos - 1) // 2 - same_pairs,
        same_people=len(several),
        same_pairs=same_pairs,
        strangers=strangers / max(people_pairs, 1),
        same=same / max(len(several), 1),
    )


def _rungs(weights: NDArray[np.float64], trials: int) -> Iterable[Rung]:
    """For each N the lowest threshold at which the upper bound of the share of pairs is at most 1 / N."""
    if not trials:
        return
    # From the highest bin down: the share of pairs in a bin or above.
    reached = np.cumsum(weights[::-1])[::-1]
    bounds = np.array([wilson(min(1.0, share), trials, ONE_SIDED)[1] for share in np.unique(reached)])
    bound = bounds[np.searchsorted(np.unique(reached), reached)]
    for one_in in LADDER:
        fits = np.flatnonzero(bound <= 1 / one_in)
        if not len(fits):
            return
        yield Rung(one_in=one_in, similarity=_edge(int(fits[0])))


def _quantiles(weights: NDArray[np.float64], trials: int) -> tuple[Quantile, ...]:
    """The quantiles with at least one trial on either side."""
    below = np.cumsum(weights)
    return tuple(
        (share, _edge(int(np.searchsorted(below, share - 1e-12)) + 1))
        for share in SHARES
        if trials * min(share, 1 - share) >= 1
    )


def _edge(number: int) -> float:
    """The lower edge of a bin."""
    return round(min(1.0, number * STEP - 1), 4)


def _fit(
    x: NDArray[np.float64], strangers: NDArray[np.float64], same: NDArray[np.float64], least: float
) -> tuple[float, float] | None:
    """Slope and intercept of the logistic curve of least cross-entropy with the targets `least` for strangers
    and 1 - `least` for the same person, by Newton's method with halved steps (Lin, Lin and Weng, "A note on
    Platt's probabilistic outputs", 2007). None if a higher similarity does not make the same person
    likelier."""
    weight = strangers + same
    wanted = least * strangers + (1 - least) * same
    target = np.divide(wanted, weight, out=np.zeros_like(weight), where=weight > 0)

    def loss(a: float, b: float) -> float:
        logit = a * x + b
        return float((weight * (np.logaddexp(0, logit) - target * logit)).sum())

    slope, intercept = 0.0, 0.0
    for _ in range(100):
        probability = 1 / (1 + np.exp(-(slope * x + intercept)))
        residual = weight * (probability - target)
        gradient = np.array([(residual * x).sum(), residual.sum()])
        if np.abs(gradient).max() < 1e-9:
            break
        curve = weight * probability * (1 - probability)
        cross = (curve * x).sum()
        hessian = np.array([[(curve * x * x).sum(), cross], [cross, curve.sum()]]) + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size, before = 1.0, loss(slope, intercept)
        while size > 1e-6 and loss(slope - size * step[0], intercept - size * step[1]) > before:
            size /= 2
        slope, intercept = slope - size * float(step[0]), intercept - size * float(step[1])
    fitted = round(slope, 6), round(intercept, 6)
    return fitted if fitted[0] > 0 else None
