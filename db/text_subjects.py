"""What a suggested text may be made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from db.inference_jobs import ClaimedInference
from db.pool import Database
from db.queries import sql

EARLIER: Final = 6
"""Messages before the latest one that a text may be made of."""

_ALIKE: Final = 0.7
"""Factor from which two faces have something in common that is worth saying."""

_FACTORS: Final = {
    "factor_embedding": "the overall look",
    "factor_geometry": "the proportions",
    "factor_age": "the age",
    "factor_symmetry": "the symmetry",
    "factor_expression": "the expression",
}
"""Without the tone of the skin, of which no suggestion speaks."""

_NAMED: Final = 2


@dataclass(frozen=True, slots=True)
class TextSubject:
    """What a text is about.

    content: the message to answer; of an icebreaker the template. author_name: who sent it. reader_name:
    who received it; for a reply also who the text is for. school: which both are at. percentage: of their
    match, 0..100. most_alike: what their faces have most in common, best first, as words. earlier: who said
    what before, oldest first. seed: chooses among equals, the same for the same message."""

    kind: Literal["reply", "icebreaker"]
    content: str
    author_name: str | None
    reader_name: str | None
    school: str | None
    percentage: int
    most_alike: Sequence[str]
    earlier: Sequence[tuple[str | None, str]]
    seed: int


async def subject_of(database: Database, job: ClaimedInference) -> TextSubject | None:
    """The subject of a reply or an icebreaker; None if its connection is no longer active, or one of its
    users no longer wants texts. Raises DatabaseError."""
    row = await database.fetchrow(sql.text_subject, job.message_id, EARLIER)
    if row is None or job.kind == "embed" or job.message_id is None:
        return None
    factors = {words: row[name] or 0.0 for name, words in _FACTORS.items()}
    ranked = sorted(
        (words for words, factor in factors.items() if factor >= _ALIKE), key=lambda x: -factors[x]
    )
    return TextSubject(
        kind=job.kind,
        content=row["content"],
        author_name=row["author_name"],
        reader_name=row["reader_name"],
        school=row["school"],
        percentage=row["percentage"],
        most_alike=ranked[:_NAMED],
        earlier=[(said["by"], said["said"]) for said in row["earlier"]] if job.kind == "reply" else [],
        seed=job.message_id.int,
    )
