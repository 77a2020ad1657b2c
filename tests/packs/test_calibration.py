"""What a calibration claims, and that it claims no more than was measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from deployments.packs.calibration import (
    LADDER,
    Calibration,
    SimilarityScale,
    calibrate,
    read_calibration,
)
from deployments.packs.manifest import read_manifest
from deployments.packs.pack import OPEN_FOLDER
from deployments.packs.proportions import ONE_SIDED, wilson
from semblance.errors import BadInputError, PackError
from semblance.types import ModelInfo
from tests.support.calibrations import LEAST, MOST, RUNGS, calibration_of

MANIFEST = read_manifest(OPEN_FOLDER)
MODEL = ModelInfo("open", MANIFEST.digest)


def faces(
    people: int, photos: int = 1, *, noise: float = 0.6, seed: int = 0, dimensions: int = 64
) -> tuple[NDArray[np.float32], list[str]]:
    """Unit vectors of people in random directions, and the person of each."""
    generator = np.random.default_rng(seed)
    centres = np.repeat(generator.normal(size=(people, dimensions)), photos, axis=0)
    vectors = centres + noise * generator.normal(size=centres.shape) * (photos > 1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), [f"p{number // photos}" for number in range(people * photos)]


def made(vectors: NDArray[np.float32], people: Sequence[str], **groups: str) -> Calibration:
    return calibrate(vectors, people, manifest=MANIFEST, source="a test", groups=groups)


def strangers_of(vectors: NDArray[np.float32], people: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Similarities of all pairs of photos of two people, and the weights that make all pairs of people
    count the same, computed the slow way."""
    similarities, weights = [], []
    for i in range(len(people)):
        for j in range(i):
            if people[i] != people[j]:
                similarities.append(float(vectors[i] @ vectors[j]))
                weights.append(1 / (people.count(people[i]) * people.count(people[j])))
    return np.array(similarities), np.array(weights) / sum(weights)


@pytest.mark.parametrize(
    ("people", "most"), [(2, 1), (4, 2), (9, 10), (10, 10), (30, 100), (100, 1000), (300, 10_000)]
)
def test_no_more_is_claimed_than_so_many_people_support(people: int, most: int) -> None:
    """This holds however far apart they are."""
    calibration = made(*faces(people))
    assert calibration.most == most
    assert calibration.one_in(1.0) == most
    pairs = people * (people - 1) // 2
    assert most <= max(1, pairs)
    # Without one false match, the true rate may still be that high.
    assert most == 1 or wilson(0, pairs, ONE_SIDED)[1] <= 1 / most
    assert calibration.strangers.people_pairs == calibration.strangers.photo_pairs == pairs


@pytest.mark.parametrize(("people", "photos"), [(12, 3), (70, 4)])
def test_rungs_are_the_lowest_that_the_pairs_allow(people: int, photos: int) -> None:
    """The hundreds of photos are compared in several blocks."""
    vectors, names = faces(people, photos)
    calibration = made(vectors, names)
    similarities, weights = strangers_of(vectors, names)
    assert calibration.strangers.photo_pairs == len(similarities)
    pairs = people * (people - 1) // 2
    assert [rung.one_in for rung in calibration.strangers.rungs] == list(
        LADDER[: len(calibration.strangers.rungs)]
    )
    for rung in calibration.strangers.rungs:
        reached = float(weights[similarities >= rung.similarity].sum())
        assert wilson(reached, pairs, ONE_SIDED)[1] <= 1 / rung.one_in
        lower = float(weights[similarities >= rung.similarity - 1.1e-4].sum())
        assert wilson(lower, pairs, ONE_SIDED)[1] > 1 / rung.one_in


def test_more_photos_of_the_same_people_prove_nothing_more() -> None:
    vectors, names = faces(20)
    once, often = made(vectors, names), made(np.repeat(vectors, 7, axis=0), np.repeat(names, 7).tolist())
    assert often.strangers.rungs == once.strangers.rungs
    assert often.strangers.people_pairs == once.strangers.people_pairs
    assert often.strangers.photo_pairs == 49 * once.strangers.photo_pairs


def test_a_person_with_many_photos_weighs_like_any_other() -> None:
    vectors, names = faces(20, 2)
    many = np.concatenate([vectors, np.repeat(vectors[:1], 200, axis=0)])
    calibration = made(many, [*names, *["p0"] * 200])
    assert calibration.same_person.people == 20
    assert calibration.same_person.photo_pairs == 19 + 202 * 201 // 2
    median = dict(calibration.same_person.quantiles)[0.5]
    assert median == pytest.approx(dict(made(vectors, names).same_person.quantiles)[0.5], abs=0.05)


def test_the_claims_hold_for_other_people() -> None:
    """The share of calibrations of 40 people whose claim is wrong for the whole population is bounded."""
    population, _ = faces(1500, seed=99)
    similarities = (population @ population.T)[np.triu_indices(len(population), 1)]
    broken = [
        (similarities >= rung.similarity).mean() > 1 / rung.one_in
        for seed in range(40)
        for rung in made(*faces(40, seed=seed)).strangers.rungs
    ]
    assert np.mean(broken) <= 0.06


def test_probability_rises_from_strangers_to_the_same_person_and_stays_within_its_limits() -> None:
    calibration = made(*faces(30, 3))
    assert calibration.probability is not None
    values = [calibration.probability(similarity) for similarity in np.linspace(-1, 1, 201)]
    assert values == sorted(values)
    # As certain as 30 people allow, one way and the other.
    assert values[0] == pytest.approx(1 / 32)
    assert values[-1] == pytest.approx(31 / 32)
    strangers, same = calibration.strangers.quantiles[-1][1], calibration.same_person.quantiles[0][1]
    assert calibration.probability(strangers) < 0.5 < calibration.probability(same)


def test_probability_is_that_of_the_next_pair() -> None:
    """Where the two kinds overlap, the share of same-person pairs equals the stated probability."""
    calibration = made(*faces(150, 4, noise=1.6))
    vectors, names = faces(150, 4, noise=1.6, seed=1)
    person = np.array(names)
    i, j = np.triu_indices(len(names), 1)
    similarities, same = (vectors @ vectors.T)[i, j], person[i] == person[j]
    assert calibration.probability is not None
    for low, high in ((0.15, 0.2), (0.2, 0.25), (0.25, 0.3)):
        inside = (similarities >= low) & (similarities < high)
        # The probability presumes equally many pairs of both kinds.
        ones, twos = inside[same].mean(), inside[~same].mean()
        told = np.mean([calibration.probability(low), calibration.probability(high)])
        assert told == pytest.approx(ones / (ones + twos), abs=0.1)


def test_few_people_give_no_certainty_but_the_right_side() -> None:
    """One person with two photos does not show how different photos of one person can be."""
    vectors, names = faces(30, 2)
    chosen = [0, *range(1, 60, 2)]
    calibration = made(vectors[chosen], [names[place] for place in chosen])
    assert calibration.same_person.people == 1
    assert calibration.probability is not None
    assert (calibration.probability(-1), calibration.probability(1)) == pytest.approx((1 / 3, 2 / 3))
    middle = (calibration.strangers.quantiles[-1][1] + float(vectors[0] @ vectors[1])) / 2
    assert calibration.probability(middle - 0.3) < 0.5 < calibration.probability(middle + 0.3)


def test_without_second_photos_there_is_no_probability() -> None:
    calibration = made(*faces(10))
    assert calibration.probability is None
    assert calibration.same_person.people == 0


def test_a_pack_that_sees_nothing_gets_no_probability() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(60, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [f"p{number // 2}" for number in range(60)]
    # Photos of one person less alike than those of two.
    vectors[1::2] = -vectors[::2]
    assert made(vectors, names).probability is None


def test_groups_are_measured_among_themselves() -> None:
    """People of one group are more alike here than people in general."""
    generator = np.random.default_rng(0)
    vectors, names = faces(40)
    vectors[:20] += 0.15 * generator.normal(size=64).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    group_of = dict.fromkeys(names[:20], "alike") | dict.fromkeys(names[20:30], "others")
    calibration = made(vectors, names, **group_of)
    assert calibration.groups.keys() == {"alike", "others"}
    alike = calibration.groups["alike"]
    assert (alike.people, alike.strangers.people_pairs) == (20, 190)
    assert calibration.groups["others"].strangers.people_pairs == 45
    assert alike.strangers.rungs[0].similarity > calibration.strangers.rungs[0].similarity + 0.3


@pytest.mark.parametrize("names", [[], ["a"], ["a", "a", "a"]])
def test_one_person_is_too_few(names: list[str]) -> None:
    with pytest.raises(BadInputError, match="at least two people"):
        made(faces(3)[0][: len(names)], names)


def test_the_same_picture_of_two_people_supports_nothing() -> None:
    """Similarities of 1 are above every threshold."""
    calibration = made(np.repeat(faces(1)[0], 30, axis=0), [f"p{number}" for number in range(30)])
    assert calibration.most == 1


def test_a_calibration_is_read_as_it_was_written(tmp_path: Path) -> None:
    calibration = made(*faces(12, 2), p0="x", p1="x")
    file = tmp_path / "calibration.json"
    file.write_text(calibration.model_dump_json(indent=1))
    assert read_calibration(file) == calibration
    assert calibration.digest == MANIFEST.digest


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('"format":"semblance-calibration/1"', '"format":"other"', "format"),
        ('"similarity":0.3', '"similarity":0.05', "strangers"),
        ('"one_in":10,', '"one_in":1,', "one_in"),
        ('"most":0.95', '"most":1.5', "probability.most"),
        ('"slope":20.0', '"slope":NaN', "probability.slope"),
        ('"groups":{}', '"groups":{},"further":1', "further"),
        ("{", "", "file"),
    ],
)
def test_a_damaged_calibration_names_what_is_wrong(tmp_path: Path, old: str, new: str, field: str) -> None:
    text = calibration_of(MODEL).model_dump_json()
    assert old in text
    file = tmp_path / "calibration.json"
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(PackError, match=rf"{file}.*{field}.*semblance models calibrate"):
        read_calibration(file)


def test_an_absent_calibration_is_named(tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"Cannot read.*absent\.json"):
        read_calibration(tmp_path / "absent.json")


SCALE = SimilarityScale(0.4, MODEL.digest, calibration_of(MODEL))


@pytest.mark.parametrize(
    ("rate", "threshold", "promised"),
    [
        (None, 0.4, 0.1),
        (0.9, RUNGS[2], 0.5),
        (0.5, RUNGS[2], 0.5),
        (0.2, RUNGS[10], 0.1),
        (0.1, RUNGS[10], 0.1),
        (0.01, RUNGS[100], 0.01),
    ],
)
def test_decisions_stay_within_the_rate(rate: float | None, threshold: float, promised: float) -> None:
    for similarity in (threshold - 1e-6, threshold, 1.0, -1.0):
        decision = SCALE.decide(similarity, rate)
        assert decision.same_person == (similarity >= threshold)
        assert (decision.threshold, decision.false_match_rate) == (threshold, promised)


def test_a_rate_that_is_not_supported_is_refused() -> None:
    with pytest.raises(BadInputError, match=r"0\.0099.*780 pairs of people.*0\.5, 0\.1, 0\.01.*calibrate"):
        SCALE.decide(0.5, 0.0099)


def test_without_a_calibration_the_pack_decides_and_promises_nothing() -> None:
    scale = SimilarityScale(0.4, MODEL.digest, None)
    assert scale.probability(0.9) is None
    assert scale.decide(0.4).same_person
    assert scale.decide(0.4).false_match_rate is None
    with pytest.raises(BadInputError, match="no calibration"):
        scale.decide(0.4, 0.1)


def test_a_threshold_below_all_rungs_promises_nothing() -> None:
    assert SimilarityScale(0.05, MODEL.digest, calibration_of(MODEL)).decide(0.9).false_match_rate is None


@pytest.mark.parametrize(("similarity", "probability"), [(-1, LEAST), (0.4, 0.5), (1, MOST), (1e9, MOST)])
def test_probability_by_the_calibration(similarity: float, probability: float) -> None:
    assert SCALE.probability(similarity) == pytest.approx(probability)
