"""Baby pictures of matches, and the keys with which clients repeat a request for one."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from db import generation_logs, quotas
from db.connections import NO_MATCH, ConnectionStatus, lock_match, open_when_mutual
from db.generation_logs import GENERATION_LIFETIME
from db.matches import Person
from db.pages import ByTime, CountedPage, cut_page
from db.pool import Database
from db.queries import sql
from semblance.errors import (
    ForbiddenError,
    IdempotencyKeyReusedError,
    NotFoundError,
    RequestInProgressError,
)

NO_BABY = "None of your matches has this baby picture."


@dataclass(frozen=True, slots=True)
class ParentFace:
    """A face of a match. image_path: storage key. landmarks_68: 68 pairs [x, y] in pixels of the upright
    image; None if the face was never analyzed."""

    image_path: str
    landmarks_68: list[list[float]] | None


@dataclass(frozen=True, slots=True)
class BabyConnection:
    """The connection between the two users, whichever match led to it."""

    id: UUID
    status: ConnectionStatus
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Baby:
    """A baby picture and the two users whose faces made it. image_path: a storage key, or in rows of the old
    app a URL on another host."""

    id: UUID
    match_id: UUID
    image_path: str
    created_at: datetime
    a: Person
    b: Person
    connection: BabyConnection | None


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to answer the request with this key; `id` distinguishes it from later claims."""

    profile_id: UUID
    key: str
    id: UUID


@dataclass(frozen=True, slots=True)
class NewBaby:
    """A picture that is stored under `image_path`, and the call that made it.

    attempts, duration: as `GenerationLogs.finish` takes them. claim: of the request, if it has a key.
    """

    id: UUID
    match_id: UUID
    profile_id: UUID
    image_path: str
    log_id: UUID
    attempts: int
    duration: timedelta
    claim: Claim | None


class Babies:
    """The tables `babies` and `baby_requests`. Every method raises DatabaseError if the database does not
    answer.

    Both users of a match see its babies. While one has blocked the other, each sees only the babies they
    requested.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def parents(self, match_id: UUID, *, profile_id: UUID) -> tuple[ParentFace, ParentFace]:
        """The two faces of one of the user's matches.

        Raises NotFoundError for a match that does not exist, ForbiddenError for a match between other users.
        """
        row = await self._database.fetchrow(sql.parents_of_match, match_id)
        if row is None:
            raise NotFoundError(NO_MATCH)
        if profile_id not in {row["a_profile_id"], row["b_profile_id"]}:
            raise ForbiddenError("Only the two users of a match can request its baby picture.")
        return (
            ParentFace(row["a_image_path"], row["a_landmarks"]),
            ParentFace(row["b_image_path"], row["b_landmarks"]),
        )

    async def add(self, new: NewBaby) -> Baby:
        """Store a baby, count it towards today's limit, record the call that made it and the outcome of its
        request, notify the other user, and connect the two if both have made one; all or nothing.

        Raises QuotaExceededError if the day's limit is reached, NotFoundError if the match is gone,
        RequestInProgressError if another process has taken over the claim. After these errors nothing is
        stored. After any other error the outcome is unknown, because the connection may break while the
        server commits.
        """
        async with self._database.transaction() as connection:
            await quotas.take(connection, new.profile_id, "baby_generation")
            a_id, b_id = await lock_match(connection, new.match_id)
            await connection.execute(sql.insert_baby, new.id, new.match_id, new.profile_id, new.image_path)
            if new.claim is not None:
                await _complete(connection, new.claim, new.id)
            await generation_logs.complete(
                connection, new.log_id, baby_id=new.id, attempts=new.attempts, duration=new.duration
            )
            if a_id != b_id:
                other_id = b_id if a_id == new.profile_id else a_id
                await connection.execute(sql.notify_of_baby, other_id, new.profile_id, new.id)
            await open_when_mutual(connection, new.match_id)
            return _baby(await connection.fetchrow(sql.load_babies, new.profile_id, [new.id]))

    async def get(self, baby_id: UUID, *, profile_id: UUID) -> Baby:
        """A baby of one of the user's matches. Raises NotFoundError for any other."""
        row = await self._database.fetchrow(sql.load_babies, profile_id, [baby_id])
        if row is None:
            raise NotFoundError(NO_BABY)
        return _baby(row)

    async def latest(self, match_id: UUID, *, profile_id: UUID) -> Baby | None:
        """The newest baby of one of the user's matches, whichever of the two users requested it; None without
        one."""
        baby_id = await self._database.fetchval(sql.latest_baby, profile_id, match_id)
        found = [] if baby_id is None else await self._load(profile_id, [baby_id])
        return found[0] if found else None

    async def page(
        self, profile_id: UUID, *, limit: int, after: ByTime | None = None
    ) -> CountedPage[Baby, ByTime]:
        """The babies of the user's matches, newest first. after: the `next` of the previous page."""
        rows = await self._database.fetch(sql.list_babies, profile_id, *(after or (None, None)), limit + 1)
        shown, more = cut_page(rows, limit, "created_at")
        babies = await self._load(profile_id, [row["id"] for row in shown])
        return CountedPage(babies, more, rows[0]["total"])

    async def claim(self, profile_id: UUID, key: str, match_id: UUID) -> Claim | Baby:
        """Begin the request with this key, or return the baby that it led to before. A key is valid for 24
        hours. If the process that claimed it died, the key is free again after GENERATION_LIFETIME.

        Raises IdempotencyKeyReusedError if the key was used for another match, RequestInProgressError
        if the request is being worked on.
        """
        await self._database.execute(sql.forget_baby_requests)
        claim = Claim(profile_id, key, uuid.uuid4())
        if await self._database.fetchval(
            sql.claim_baby_request, profile_id, key, match_id, claim.id, GENERATION_LIFETIME
        ):
            return claim
        request = await self._database.fetchrow(sql.get_baby_request, profile_id, key)
        if request is not None and request["match_id"] != match_id:
            raise IdempotencyKeyReusedError(
                "This Idempotency-Key was used for another match; make a new key for each new picture."
            )
        if request is None or request["baby_id"] is None:
            raise RequestInProgressError("The request with this Idempotency-Key is being worked on.")
        return await self.get(request["baby_id"], profile_id=profile_id)

    async def release(self, claim: Claim) -> None:
        """Release a claim that led to no baby, so that the request can be repeated at once."""
        await self._database.execute(sql.release_baby_request, claim.profile_id, claim.key, claim.id)

    async def _load(self, profile_id: UUID, ids: list[UUID]) -> list[Baby]:
        """The babies with these ids, in the same order, without those deleted in the meantime."""
        rows = {row["id"]: row for row in await self._database.fetch(sql.load_babies, profile_id, ids)}
        return [_baby(rows[baby_id]) for baby_id in ids if baby_id in rows]


async def _complete(connection: asyncpg.Connection, claim: Claim, baby_id: UUID) -> None:
    if not await connection.fetchval(
        sql.complete_baby_request, claim.profile_id, claim.key, claim.id, baby_id
    ):
        raise RequestInProgressError("This request took too long, and its repetition is being worked on.")


def _baby(row: asyncpg.Record) -> Baby:
    return Baby(
        id=row["id"],
        match_id=row["match_id"],
        image_path=row["image_path"],
        created_at=row["created_at"],
        a=Person.of(row, "a"),
        b=Person.of(row, "b"),
        connection=None
        if row["connection_id"] is None
        else BabyConnection(row["connection_id"], row["connection_status"], row["connection_created_at"]),
    )
