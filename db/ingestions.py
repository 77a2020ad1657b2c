"""Ingestions that operators start from the console: their files, their progress, and what was not taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from db.admin_events import tell_operators
from db.audit import audit
from db.pages import ByTime, Page, cut_page
from db.pool import Connection, Database
from db.queries import sql
from semblance.actor import actor_var
from semblance.errors import BadInputError, ConflictError, NotFoundError
from semblance.sizes import byte_size

STAGING: Final = "staging"
"""Folder of the picture store for uploaded files."""

STAGED: Final = "staged:"
"""Before a key of the picture store, the location of an uploaded picture."""

MOST_FILES: Final = 20_000
"""Uploaded files of an ingestion, those in archives included."""

MOST_RECEIVING: Final = 20
"""Ingestions whose files arrive, at the same time."""

MOST_CONTINUED: Final = 5
"""How often a day the service continues an ingestion by itself. One that kills each of its jobs is left to
operators then."""

CONTINUED_AFTER: Final = timedelta(seconds=10)
"""How long after its first job died; each time it dies again, four times as long: at last 43 minutes."""

IngestionState: TypeAlias = Literal["receiving", "running", "failed", "review", "done"]
Decision: TypeAlias = Literal["largest", "anyway", "again", "discard"]

SUITABLE: Final[Mapping[Decision, Sequence[str]]] = {
    "largest": ("several_faces",),
    "anyway": ("low_quality",),
    "again": ("failed",),
    "discard": (),
}
"""The outcomes for which each decision may be taken; anything can be discarded."""


@dataclass(frozen=True, slots=True)
class IngestionRow:
    """An ingestion.

    source: None for uploaded files, of which `files` with `size` bytes are kept. total, done, taken, present:
    pictures; present are those that the gallery had. refused: not taken and not settled, of which `waiting`
    are decided, but not yet tried again. message: why its job failed.
    """

    id: UUID
    source: str | None
    category: str | None
    started_by: str
    created_at: datetime
    ended_at: datetime | None
    ray_job: UUID | None
    total: int
    done: int
    taken: int
    present: int
    files: int
    size: int
    refused: int
    waiting: int
    state: IngestionState
    message: str | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A picture that was not taken. item: it and what is stated of it, None where that cannot be used.
    outcome, reason: as in the report of an ingestion."""

    id: UUID
    label: str
    item: dict[str, Any] | None
    outcome: str
    reason: str
    decision: Decision | None
    created_at: datetime

    @property
    def decisions(self) -> list[Decision]:
        """Those that may be taken."""
        if self.item is None:
            return ["discard"]
        return [
            decision
            for decision, outcomes in SUITABLE.items()
            if decision == "discard" or self.outcome in outcomes
        ]


@dataclass(frozen=True, slots=True)
class NewFile:
    """An uploaded file. number: given by the client. place, parts: of a part of an archive; parts is None for
    other files."""

    number: int
    path: str
    size: int
    key: str
    place: int = 0
    parts: int | None = None


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """An uploaded file, a part or a member of an archive. key: None for a member that was not taken out, with
    outcome and reason."""

    number: int
    kind: Literal["file", "part", "member"]
    place: int
    path: str
    size: int
    key: str | None
    outcome: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class IngestionWork:
    """What a job begins with. listed: each input was tried once before."""

    source: str | None
    category: str | None
    listed: bool
    taken: int
    present: int


@dataclass(frozen=True, slots=True)
class NewRefusal:
    """A refusal as a job writes it."""

    id: UUID
    label: str
    item: Mapping[str, Any] | None
    outcome: str
    reason: str


class Ingestions:
    """The tables `ingestions`, `ingestion_files` and `ingestion_refusals`. Every method raises DatabaseError
    if the database does not answer, and those that name an ingestion NotFoundError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # By operators

    async def create(self, source: str | None, category: str | None) -> UUID:
        """A new ingestion; removes uploads that were abandoned. Raises ConflictError if too many receive
        files."""
        async with self._database.transaction() as connection:
            await connection.execute(sql.abandon_ingestions)
            if await connection.fetchval(sql.count_receiving_ingestions) >= MOST_RECEIVING:
                raise ConflictError(f"{MOST_RECEIVING} uploads are not started yet. Start or discard some.")
            created: UUID = await connection.fetchval(sql.create_ingestion, source, category, actor_var.get())
            after = {"source": source, "category": category}
            await audit(connection, "ingestion.create", str(created), after=after)
            await _tell(connection, created)
        return created

    async def get(self, ingestion_id: UUID) -> IngestionRow:
        """An ingestion."""
        rows = await self._database.fetch(sql.list_ingestions, ingestion_id, None, None, 1)
        if not rows:
            raise _unknown()
        return IngestionRow(**rows[0])

    async def page(self, limit: int, after: ByTime | None = None) -> Page[IngestionRow, ByTime]:
        """The latest ingestions after a place."""
        rows = await self._database.fetch(sql.list_ingestions, None, *(after or (None, None)), limit)
        shown, following = cut_page(rows, limit, "created_at")
        return Page([IngestionRow(**row) for row in shown], following)

    async def add_file(self, ingestion_id: UUID, file: NewFile, most_bytes: int) -> None:
        """Add a file that is in the store, or a part of one; again, it replaces itself.

        Raises ConflictError if the ingestion was started, BadInputError if there are too many files or bytes.
        """
        async with self._database.transaction() as connection:
            if not (await _lock(connection, ingestion_id))["receiving"]:
                raise ConflictError("This ingestion was started; upload more files as another one.")
            room = await connection.fetchrow(sql.room_of_ingestion, ingestion_id, file.number, file.place)
            if room["files"] >= MOST_FILES:
                raise BadInputError(f"An upload has at most {MOST_FILES:,} files. Make several of it.")
            if room["size"] + file.size > most_bytes:
                raise BadInputError(
                    f"An upload has at most {byte_size(most_bytes)} (SEMBLANCE_MAX_INGESTION_BYTES). "
                    "Make several of it, or name a folder on the server."
                )
            kind = "file" if file.parts is None else "part"
            values = (file.number, kind, file.place, file.path, file.size, file.key, file.parts)
            place = (ingestion_id, file.number, kind, file.place)
            replaced = await connection.fetchval(sql.get_ingestion_file, *place)
            await connection.execute(sql.add_ingestion_file, ingestion_id, *values)
            if replaced is not None:
                await connection.execute(sql.record_deletions, [replaced])

    async def check_complete(self, ingestion_id: UUID) -> None:
        """Raises ConflictError for an upload without files, or if one lacks parts."""
        row = await self.get(ingestion_id)
        if row.source is None and row.state == "receiving":
            if not row.files:
                raise ConflictError("There are no files yet. Upload some first.")
            if name := await self._database.fetchval(sql.incomplete_archive, ingestion_id):
                raise ConflictError(f"{name} is not complete. Upload it again.")

    async def claim(self, connection: Connection, ingestion_id: UUID, job_id: UUID) -> None:
        """Give the ingestion to a job that is being added, in the caller's transaction. Raises ConflictError
        while another works on it."""
        await _lock(connection, ingestion_id)
        if await connection.fetchval(sql.claim_ingestion, ingestion_id, job_id) is None:
            raise ConflictError("A Ray job works on this ingestion already.")
        row = await connection.fetchrow(sql.list_ingestions, ingestion_id, None, None, 1)
        after = {"source": row["source"], "files": row["files"], "size": row["size"]}
        await audit(connection, "ingestion.start", str(ingestion_id), after=after)
        await _tell(connection, ingestion_id)

    async def to_continue(self) -> list[UUID]:
        """The ingestions that should go on now by themselves: their job died, or none could start for the
        decisions on them."""
        rows = await self._database.fetch(sql.ingestions_to_continue, MOST_CONTINUED, CONTINUED_AFTER)
        return [row["id"] for row in rows]

    async def refusals(
        self, ingestion_id: UUID, outcome: str | None, limit: int, after: ByTime | None = None
    ) -> Page[Refusal, ByTime]:
        """What was not taken and is not settled."""
        rows = await self._database.fetch(
            sql.list_ingestion_refusals, ingestion_id, outcome, *(after or (None, None)), limit
        )
        shown, following = cut_page(rows, limit, "created_at")
        return Page([Refusal(**row) for row in shown], following)

    async def refusal_counts(self, ingestion_id: UUID) -> dict[str, int]:
        """How many of them there are of each outcome."""
        rows = await self._database.fetch(sql.count_ingestion_refusals, ingestion_id)
        return {row["outcome"]: row["number"] for row in rows}

    async def refusal(self, ingestion_id: UUID, refusal_id: UUID) -> Refusal:
        """One of them. Raises NotFoundError."""
        row = await self._database.fetchrow(sql.get_ingestion_refusal, ingestion_id, refusal_id)
        if row is None:
            raise NotFoundError("This picture was taken or discarded meanwhile.")
        return Refusal(**row)

    async def decide(
        self, ingestion_id: UUID, decision: Decision, ids: Sequence[UUID] | None, outcome: str | None
    ) -> tuple[int, bool]:
        """Decide on refused pictures, those of the ids or of the outcome.

        Returns on how many, and whether a job must be started for them.
        """
        async with self._database.transaction() as connection:
            ended = (await _lock(connection, ingestion_id))["ended"]
            number = await connection.fetchval(
                sql.decide_ingestion_refusals, ingestion_id, decision, SUITABLE[decision], ids, outcome
            )
            if number:
                await connection.execute(sql.release_ingestion_files, ingestion_id)
                after = {"decision": decision, "pictures": number, "reason": outcome, "ids": _some(ids)}
                await audit(connection, "ingestion.decide", str(ingestion_id), after=after)
                await _tell(connection, ingestion_id)
        return number, bool(number) and ended and decision != "discard"

    async def discard(self, ingestion_id: UUID) -> None:
        """Settle an ingestion, and forget its files and what was not taken; one that was never started is
        removed. Raises ConflictError while a job works on it."""
        async with self._database.transaction() as connection:
            locked = await _lock(connection, ingestion_id)
            row = await connection.fetchrow(sql.list_ingestions, ingestion_id, None, None, 1)
            if row["state"] == "running":
                raise ConflictError("A Ray job works on this ingestion. Stop it first, or wait.")
            await connection.execute(sql.discard_ingestion, ingestion_id)
            await connection.execute(sql.release_ingestion_files, ingestion_id)
            if locked["receiving"]:
                await connection.execute(sql.remove_ingestion, ingestion_id)
            before = {name: row[name] for name in ("state", "files", "refused")}
            await audit(connection, "ingestion.discard", str(ingestion_id), before=before)
            await _tell(connection, ingestion_id)

    # By the job

    async def begin(self, ingestion_id: UUID) -> IngestionWork:
        """What there is to do."""
        row = await self._database.fetchrow(sql.begin_ingestion, ingestion_id)
        if row is None:
            raise _unknown()
        return IngestionWork(**row)

    async def files(self, ingestion_id: UUID) -> list[UploadedFile]:
        """What was uploaded, with the members of archives."""
        rows = await self._database.fetch(sql.ingestion_files, ingestion_id)
        return [UploadedFile(**row) for row in rows]

    async def add_members(self, ingestion_id: UUID, number: int, members: Sequence[UploadedFile]) -> None:
        """Add members of an archive that are in the store; safe to repeat."""
        columns = [
            [getattr(member, name) for member in members]
            for name in ("place", "path", "size", "key", "outcome", "reason")
        ]
        await self._database.execute(sql.add_ingestion_members, ingestion_id, number, *columns)

    async def remove_parts(self, ingestion_id: UUID, number: int) -> None:
        """Forget the parts of an archive whose members are all stored."""
        await self._database.execute(sql.remove_ingestion_parts, ingestion_id, number)

    async def set_total(self, ingestion_id: UUID, total: int) -> None:
        """How many inputs there are, before the first is tried."""
        await self._database.execute(sql.set_ingestion_total, ingestion_id, total)

    async def set_listed(self, ingestion_id: UUID) -> None:
        """Each input was tried once."""
        await self._database.execute(sql.set_ingestion_listed, ingestion_id)

    async def record(
        self,
        ingestion_id: UUID,
        *,
        done: int | None,
        taken: int,
        added: int,
        present: int | None,
        refused: Sequence[NewRefusal],
        settled: Sequence[UUID],
    ) -> None:
        """How far the job is, what it refused since, and which refused pictures are in the gallery now. done,
        present: None where they stay. added: how many of `taken` are new."""
        async with self._database.transaction() as connection:
            await connection.execute(sql.record_ingestion, ingestion_id, done, taken, present)
            if refused:
                await connection.execute(
                    sql.record_ingestion_refusals,
                    ingestion_id,
                    [each.id for each in refused],
                    [each.label for each in refused],
                    [None if each.item is None else dict(each.item) for each in refused],
                    [each.outcome for each in refused],
                    [each.reason for each in refused],
                )
            await connection.execute(sql.settle_ingestion_refusals, settled)
            if added:
                await tell_operators(connection, "gallery", {"added": added})
            await _tell(connection, ingestion_id)

    async def decided(self, ingestion_id: UUID) -> list[tuple[dict[str, Any], Decision]]:
        """The refused pictures that are to be tried again, each with the decision."""
        rows = await self._database.fetch(sql.decided_ingestion_refusals, ingestion_id)
        return [(row["item"], row["decision"]) for row in rows]

    async def finish(self, ingestion_id: UUID) -> bool:
        """End the job's work and release the files that are not needed any more. Returns False if something
        was decided meanwhile: then there is more to do."""
        async with self._database.transaction() as connection:
            await _lock(connection, ingestion_id)
            if await connection.fetchval(sql.end_ingestion, ingestion_id) is None:
                return False
            await connection.execute(sql.release_ingestion_files, ingestion_id)
            await _tell(connection, ingestion_id)
        return True


async def _lock(connection: Connection, ingestion_id: UUID) -> Mapping[str, Any]:
    row: Mapping[str, Any] | None = await connection.fetchrow(sql.lock_ingestion, ingestion_id)
    if row is None:
        raise _unknown()
    return row


async def _tell(connection: Connection, ingestion_id: UUID) -> None:
    await tell_operators(connection, "ingestion", {"id": str(ingestion_id)})


def _unknown() -> NotFoundError:
    return NotFoundError("There is no ingestion with this id.")


def _some(ids: Sequence[UUID] | None) -> list[str] | None:
    return None if ids is None else [str(each) for each in ids[:100]]
