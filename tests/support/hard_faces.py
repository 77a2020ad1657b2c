"""Faces that are hard to rank from eight bits a dimension."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from matching.quantized import FEW
from matching.traits import Traits, unit
from semblance.weights import Weights

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


@dataclass(frozen=True, slots=True)
class HardCase:
    """What to rank, and by which rules. random: for more of the same case."""

    probes: Traits
    targets: Traits
    person: NDArray[np.int64]
    weights: Weights
    threshold: float
    random: np.random.Generator


@st.composite
def hard_cases(draw: st.DrawFn) -> HardCase:
    """Some of the probes are among the targets."""
    kind, other = draw(st.sampled_from(KINDS)), draw(st.sampled_from(KINDS))
    alike, count = draw(st.booleans()), draw(st.sampled_from([1, 2, FEW + 1]))
    people = draw(st.sampled_from([3, 25, TARGETS]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    targets = faces(kind, TARGETS, random, alike=alike)
    probes = Traits.joined([
        targets.take(slice(0, count // 2)),
        faces(other, count - count // 2, random, alike=alike),
    ])  # fmt: skip
    person = random.integers(0, people, TARGETS) if people < TARGETS else np.arange(TARGETS)
    threshold = draw(st.sampled_from([0.0, 0.3, 0.5, 0.8, 1.0]))
    return HardCase(probes, targets, person, draw(weights), threshold, random)
