"""The searches for people by their bios and for messages in a user's chats: by meaning and by words."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from db.messages import Message
from db.pool import Connection, Database
from db.queries import sql
from db.text_embeddings import TextVector

MOST_FOUND: Final = 50
"""People or messages that a search returns."""

EXACT_MOST: Final = 5_000
"""People with a bio up to whom a school is compared whole. Beyond, the index is faster: of 100,000 people,
2,000 at one school take the two ways the same time, 20,000 take it a third, and 100,000 a twenty-fifth
(benchmarks/text_search.py). Below, it would meet too few of them where there are many others."""

EF_SEARCH: Final = 200
"""Candidates of a search of the index; they have found all of the best ten of 100,000
(benchmarks/text_search.py)."""

COMPARED: Final = 20_000
"""A user's latest messages that are compared by meaning. It bounds the work of a search."""

CANDIDATES: Final = 100
"""The best of each of the two rankings that are fused."""

RANKED: Final = 300
"""People or messages that use the words of a query and are ranked by how. Each that is at another school is
read in vain, and the words of a message are found again: of a word that a tenth of 100,000 people use, 1,000
took 15 ms."""

_FUSION: Final = 60
"""Constant of reciprocal rank fusion, from Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms
Condorcet and individual rank learning methods" (SIGIR 2009)."""


@dataclass(frozen=True, slots=True)
class PersonFound:
    """Somebody whom a search has found. image_path: storage key of the default face's picture."""

    id: UUID
    name: str | None
    bio: str
    image_path: str | None


class TextSearch:
    """Searches by what a text means and by its words, fused by reciprocal ranks. What is asked is read as
    PostgreSQL's websearch_to_tsquery does. Every method raises DatabaseError if the database does not
    answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def people_wanted(self) -> bool:
        """Whether an admin has switched the search for people on."""
        return bool(await self._database.fetchval(sql.bio_search_wanted))

    async def meaning_wanted(self, profile_id: UUID) -> bool:
        """Whether messages are found by what they mean: for everybody by an admin, and for the user."""
        return bool(await self._database.fetchval(sql.message_search_wanted, profile_id))

    async def people(
        self, asked: str, vector: TextVector | None, *, by: UUID, limit: int
    ) -> list[PersonFound]:
        """People of the user's school whose bios fit best to what was asked, best first.

        Leaves out the user and those with whom a connection is blocked. Empty without a school.

        Args:
            asked: by words. vector: by meaning; None: by words only.
            by: the user who asks. limit: 1..MOST_FOUND.
        """
        async with self._database.transaction(readonly=True) as connection:
            await _tune(connection)
            own = await connection.fetchrow(sql.school_of_searcher, by, EXACT_MOST + 1)
            if own is None:
                return []
            school, left_out = own["school_key"], [by, *own["blocked"]]
            words = await connection.fetch(
                sql.bios_by_words, _words(asked), school, left_out, RANKED, CANDIDATES
            )
            meaning = []
            if vector is not None:
                nearest = sql.bios_by_meaning_exact if own["people"] <= EXACT_MOST else sql.bios_by_meaning
                meaning = await connection.fetch(
                    nearest, vector.values, vector.model, school, left_out, CANDIDATES
                )
            best = fuse([[row["id"] for row in rows] for rows in (words, meaning)])[:limit]
            people = {row["id"]: PersonFound(**row) for row in await connection.fetch(sql.people_found, best)}
        return [people[person] for person in best if person in people]

    async def messages(self, asked: str, vector: TextVector | None, *, by: UUID, limit: int) -> list[Message]:
        """Messages of the user's own chats that fit best to what was asked, best first. By meaning only those
        are found that both users of the chat want to be.

        Args:
            asked: by words. vector: by meaning; None: by words only.
            by: the user who asks. limit: 1..MOST_FOUND.
        """
        async with self._database.transaction(readonly=True) as connection:
            await _tune(connection)
            words = await connection.fetch(sql.messages_by_words, _words(asked), by, RANKED, CANDIDATES)
            meaning = []
            if vector is not None:
                meaning = await connection.fetch(
                    sql.messages_by_meaning, vector.values, vector.model, by, COMPARED, CANDIDATES
                )
            best = fuse([[row["id"] for row in rows] for rows in (words, meaning)])[:limit]
            found = {row["id"]: Message(**row) for row in await connection.fetch(sql.messages_found, best)}
        return [found[message] for message in best]


def fuse(rankings: Sequence[Sequence[UUID]]) -> list[UUID]:
    """One ranking of several, each best first, by the sum of 1 / (60 + rank); of equals, the one comes first
    that an earlier ranking has."""
    scores: defaultdict[UUID, float] = defaultdict(float)
    for ranking in rankings:
        for rank, found in enumerate(ranking, 1):
            scores[found] += 1 / (_FUSION + rank)
    return sorted(scores, key=lambda found: -scores[found])


def _words(asked: str) -> str:
    """What was asked, without the minus signs that are before no word: PostgreSQL takes each for a negation,
    and refuses more than 32 of them."""
    return re.sub(r'-(?![\w"])', " ", asked)


async def _tune(connection: Connection) -> None:
    await connection.fetchrow(sql.tune_nearest, str(EF_SEARCH))
