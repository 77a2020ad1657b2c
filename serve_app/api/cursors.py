"""Cursors: the place where a page of a list ends, as opaque URL-safe text.

A place is a time, score or name and the id of the row, so that rows with equal values are neither skipped
nor repeated.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, TypeAlias, TypeVar
from uuid import UUID

from fastapi import Query

from db.pages import ByName, ByScore, ByTime
from semblance.errors import BadInputError

Value = TypeVar("Value")

Cursor: TypeAlias = Annotated[
    str | None, Query(max_length=200, description="The `next_cursor` of the previous page.")
]
"""The parameter of a route that lists by time."""


def encode_cursor(place: ByTime | ByScore | ByName | None) -> str | None:
    """The cursor of the `next` of a page; None at the end of the list."""
    if place is None:
        return None
    value, identity = place
    if isinstance(value, datetime):
        text = value.isoformat()
    else:
        text = value if isinstance(value, str) else repr(value)
    return base64.urlsafe_b64encode(f"{text}|{identity}".encode()).decode().rstrip("=")


def place_by_time(cursor: str | None) -> ByTime | None:
    """The place of a cursor of a list by time; raises BadInputError for any other text."""
    return _decode(cursor, _time)


def place_by_score(cursor: str | None) -> ByScore | None:
    """The place of a cursor of a list by score; raises BadInputError for any other text."""
    return _decode(cursor, _score)


def place_by_name(cursor: str | None) -> ByName | None:
    """The place of a cursor of a list by name; raises BadInputError for any other text."""
    return _decode(cursor, _name)


def _decode(cursor: str | None, parse: Callable[[str], Value]) -> tuple[Value, UUID] | None:
    if cursor is None:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        text, _, identity = base64.b64decode(padded, altchars=b"-_", validate=True).decode().rpartition("|")
        return parse(text), UUID(identity)
    except (ValueError, OverflowError) as exc:
        raise BadInputError("This cursor is not valid; send it exactly as the answer gave it.") from exc


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("no offset")
    return time.astimezone(UTC)


def _score(text: str) -> float:
    score = float(text)
    if not math.isfinite(score):
        raise ValueError("not finite")
    return score


def _name(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError("no name that PostgreSQL takes")
    return text
