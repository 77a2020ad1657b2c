"""What becomes of each input of an ingestion: exactly one outcome, and a reason where it is not taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from db.celebrities import CelebrityRow

Outcome: TypeAlias = Literal[
    "ingested",
    "already_present",
    "duplicate",
    "no_face",
    "several_faces",
    "low_quality",
    "unreadable",
    "too_large",
    "missing",
    "invalid_metadata",
    "failed",
]

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

MEANINGS: dict[Outcome, str] = {
    "ingested": "written to the database",
    "already_present": "the database has this picture already",
    "duplicate": "the same picture as an earlier input",
    "no_face": "no face was found",
    "several_faces": "a second face is comparably large; --largest takes the larger",
    "low_quality": "the face is too blurred or badly lit; --min-quality sets the limit",
    "unreadable": "no picture, damaged, or it could not be read",
    "too_large": "over the limit of bytes or pixels",
    "missing": "named, but there is no such file",
    "invalid_metadata": "what is said of the picture cannot be stored",
    "failed": "not the picture's fault; run the same command again",
}


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one input.

    index: its place in the source's order. reason: why it was not taken, or empty. image_hash: hex MD5
    of the file, where it was read. row: what to write, for the outcome ingested.
    """

    index: int
    outcome: Outcome
    reason: str = ""
    image_hash: str | None = None
    row: CelebrityRow | None = None
