"""Lists read page by page, by the key of the last row seen: rows that come in meanwhile shift nothing.

A query takes the sort value and the id of that row, both null for the first page, and one row more than the
page has, which shows whether there is another page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import asyncpg

ByTime = tuple[datetime, UUID]
"""Place of a row in a list by time."""

ByScore = tuple[float, UUID]
"""Place of a row in a list by score."""

ByName = tuple[str, UUID]
"""Place of a row in a list by name."""

Item = TypeVar("Item")
Place = TypeVar("Place", ByTime, ByScore, ByName)


@dataclass(frozen=True, slots=True)
class Page(Generic[Item, Place]):
    """Some items of a list. next: the place of the last one, after which the next page begins; None at the
    end of the list."""

    items: list[Item]
    next: Place | None


@dataclass(frozen=True, slots=True)
class CountedPage(Page[Item, Place]):
    """total: how many items the whole list has."""

    total: int


def cut_page(
    rows: Sequence[asyncpg.Record], limit: int, sorted_by: str
) -> tuple[Sequence[asyncpg.Record], tuple[Any, UUID] | None]:
    """The rows of the page, and its `next`.

    Args:
        rows: up to `limit + 1`, in the list's order. Of a query that has a row of counts even without items,
            that one has no id, and is left out.
        sorted_by: the column that the list is sorted by, before the id.
    """
    found = [row for row in rows if row["id"] is not None]
    shown = found[:limit]
    return shown, (shown[-1][sorted_by], shown[-1]["id"]) if len(found) > limit else None
