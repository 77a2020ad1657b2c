"""Opaque cursors of lists read by key: a time, score or name with an id, so that equal ones neither skip nor
repeat."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self
from uuid import UUID

from semblance.errors import BadInputError

_NOT_VALID = "This cursor is not valid; take it from an answer as it is."


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row a client has seen of a list by time."""

    time: datetime
    id: UUID

    def encode(self) -> str:
        """URL-safe text."""
        return _encode(self.time.isoformat(), self.id)

    @classmethod
    def decode(cls, text: str) -> Self:
        """The cursor of `encode`'s text; raises BadInputError for any other text."""
        try:
            time, identity = _decode(text)
            parsed = datetime.fromisoformat(time)
            if parsed.tzinfo is None:
                raise BadInputError(_NOT_VALID)
            return cls(parsed.astimezone(UTC), identity)
        except (ValueError, OverflowError) as exc:
            raise BadInputError(_NOT_VALID) from exc


@dataclass(frozen=True, slots=True)
class ScoreCursor:
    """The last row a client has seen of a list by score."""

    score: float
    id: UUID

    def encode(self) -> str:
        """URL-safe text."""
        return _encode(repr(self.score), self.id)

    @classmethod
    def decode(cls, text: str) -> Self:
        """The cursor of `encode`'s text; raises BadInputError for any other text."""
        try:
            score, identity = _decode(text)
            parsed = float(score)
        except ValueError as exc:
            raise BadInputError(_NOT_VALID) from exc
        if not math.isfinite(parsed):
            raise BadInputError(_NOT_VALID)
        return cls(parsed, identity)


@dataclass(frozen=True, slots=True)
class NameCursor:
    """The last row a client has seen of a list by name."""

    name: str
    id: UUID

    def encode(self) -> str:
        """URL-safe text."""
        return _encode(self.name, self.id)

    @classmethod
    def decode(cls, text: str) -> Self:
        """The cursor of `encode`'s text; raises BadInputError for any other text."""
        try:
            name, identity = _decode(text)
        except ValueError as exc:
            raise BadInputError(_NOT_VALID) from exc
        if not name or "\0" in name:
            raise BadInputError(_NOT_VALID)
        return cls(name, identity)


def place_by_time(cursor: str | None) -> tuple[datetime, UUID] | None:
    """Of the last row seen, if any; raises BadInputError."""
    if cursor is None:
        return None
    decoded = Cursor.decode(cursor)
    return decoded.time, decoded.id


def place_by_score(cursor: str | None) -> tuple[float, UUID] | None:
    """Of the last row seen, if any; raises BadInputError."""
    if cursor is None:
        return None
    decoded = ScoreCursor.decode(cursor)
    return decoded.score, decoded.id


def place_by_name(cursor: str | None) -> tuple[str, UUID] | None:
    """Of the last row seen, if any; raises BadInputError."""
    if cursor is None:
        return None
    decoded = NameCursor.decode(cursor)
    return decoded.name, decoded.id


def _encode(place: str, identity: UUID) -> str:
    return base64.urlsafe_b64encode(f"{place}|{identity}".encode()).decode().rstrip("=")


def _decode(text: str) -> tuple[str, UUID]:
    """Raises ValueError for what `_encode` does not make."""
    padded = text.encode("ascii") + b"=" * (-len(text) % 4)
    place, _, identity = base64.b64decode(padded, altchars=b"-_", validate=True).decode().rpartition("|")
    return place, UUID(identity)
