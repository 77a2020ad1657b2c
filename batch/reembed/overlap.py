"""How much users' best celebrities change with the model pack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from db.copy_arrays import Rows
from db.spare_embeddings import SpareEmbeddings
from matching.best import best_matches, merged
from matching.eligibility import may_match
from matching.ranking import RankedPairs
from matching.rows import traits_of
from matching.scoring import BEST, MIN_QUALITY
from matching.store import MatchRules
from matching.traits import Floats, Traits, unit
from semblance.weights import Weights

_BINS = ((1.0, 1.0), (0.75, 1.0), (0.5, 0.75), (0.25, 0.5), (0.0, 0.25))
"""The shares of the table's lines: from, and below. The first line is for faces that keep all."""

_BY_EMBEDDING = MatchRules(Weights(1, 0, 0, 0, 0, 0), 1e-6)
"""Everyone who is at all alike, by the embedding alone."""


@dataclass(frozen=True, slots=True)
class TwoPacks:
    """N faces with both embeddings, float32. ids: V16 [N]. gender: [N] as `db.copy_arrays.GENDERS` numbers
    them. The factors other than the embedding's stay as they are."""

    ids: Any
    gender: Any
    before: Traits
    after: Floats

    @classmethod
    def of(cls, rows: Rows) -> TwoPacks:
        after = unit(rows["spare"]["values"].astype(np.float32))
        return cls(rows["id"], rows["gender"], traits_of(rows), after)


@dataclass(frozen=True, slots=True)
class Overlap:
    """For each face of the sample, the share (0..1) of its best celebrities that both packs find, relative to
    the longer of the two lists. Faces for which neither pack finds anyone are left out.

    by_score: by the current rules of matching, so what users see. by_embedding: by the cosine alone.
    """

    by_score: Sequence[float]
    by_embedding: Sequence[float]

    def table(self) -> Table:
        """For a terminal."""
        table = Table(f"best {BEST} in common", "by the rules", "by embedding alone")
        columns = [np.array(shares) for shares in (self.by_score, self.by_embedding)]
        for column in table.columns[1:]:
            column.justify = "right"
        for name, function in (("mean", np.mean), ("median", np.median), ("least", np.min)):
            table.add_row(name, *(f"{function(shares):.0%}" if len(shares) else "" for shares in columns))
        table.add_section()
        for low, high in _BINS:
            label = "faces with all" if low == high else f"faces with {low:.0%} to {high:.0%}"
            inside = ((shares >= low) & ((shares < high) | (low == high)) for shares in columns)
            table.add_row(label, *(f"{np.count_nonzero(some):,}" for some in inside))
        return table


async def measure_overlap(
    spare: SpareEmbeddings, rules: MatchRules, *, old: str, new: str, sample: int
) -> Overlap | None:
    """Compare the pack `old`, which serves, with the spare embeddings of the pack `new`, over up to `sample`
    faces and all celebrities that have both. None if no face has both.

    Memory grows with the sample and with some thousand celebrities, whose embeddings are read once.
    """
    sampled = await spare.sample(old, new, sample)
    if sampled is None:
        return None
    faces = TwoPacks.of(sampled)
    groups = [_Group(faces, int(gender), rules) for gender in np.unique(faces.gender)]
    seen = 0

    def compare(rows: Rows) -> None:
        nonlocal seen
        celebrities = TwoPacks.of(rows)
        places = np.arange(seen, seen + len(celebrities.ids))
        seen += len(places)
        for group in groups:
            group.add(celebrities, places)

    await spare.gallery(old, new, MIN_QUALITY, compare)
    return Overlap(
        by_score=[share for group in groups for share in group.by_score.shares()],
        by_embedding=[share for group in groups for share in group.by_embedding.shares()],
    )


class _Group:
    """The faces whose users state the same gender, and so may be matched with the same celebrities."""

    def __init__(self, faces: TwoPacks, gender: int, rules: MatchRules) -> None:
        index = np.flatnonzero(faces.gender == gender)
        part = replace(faces, before=faces.before.take(index), after=faces.after[index])
        self._gender = gender
        self.by_score = _Comparison(part, rules)
        self.by_embedding = _Comparison(part, _BY_EMBEDDING)

    def add(self, celebrities: TwoPacks, places: NDArray[np.intp]) -> None:
        index = np.flatnonzero(may_match(self._gender, celebrities.gender))
        if len(index):
            part = replace(celebrities, before=celebrities.before.take(index), after=celebrities.after[index])
            self.by_score.add(part, places[index])
            self.by_embedding.add(part, places[index])


@dataclass(slots=True)
class _Comparison:
    """The best celebrities of the same faces by both packs."""

    faces: TwoPacks
    rules: MatchRules
    before: RankedPairs = field(default_factory=lambda: merged([]))
    after: RankedPairs = field(default_factory=lambda: merged([]))

    def add(self, celebrities: TwoPacks, places: NDArray[np.intp]) -> None:
        rules = (self.rules.weights, self.rules.threshold)
        before = best_matches(self.faces.before, celebrities.before, places, *rules)
        after = best_matches(_with_new(self.faces), _with_new(celebrities), places, *rules)
        self.before = merged([self.before, before])
        self.after = merged([self.after, after])

    def shares(self) -> list[float]:
        shares = []
        for place in range(len(self.faces.before)):
            old, new = (
                set(found.target[found.probe == place].tolist()) for found in (self.before, self.after)
            )
            if old or new:
                shares.append(len(old & new) / max(len(old), len(new)))
        return shares


def _with_new(faces: TwoPacks) -> Traits:
    return replace(faces.before, embedding=faces.after)
