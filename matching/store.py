"""Matches of one face: what a job needs to know, and what it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from db.described import DescribedRow
from db.jobs import ClaimedJob
from db.pool import Connection, Database
from db.profiles import StatedGender
from db.queries import sql
from db.system_settings import SystemSettingsTable
from matching.scoring import BEST, MIN_QUALITY
from semblance.errors import DatabaseError
from semblance.types import Gender
from semblance.weights import Weights

_TRAITS = ("embedding", "geometry_ratios", "age", "symmetry_score", "skin_tone_lab", "expression")


@dataclass(frozen=True, slots=True)
class MatchRules:
    """What admins set: the weights of the factors, and the least score of a match."""

    weights: Weights
    threshold: float


@dataclass(frozen=True, slots=True, eq=False)
class ProbeFace:
    """The face of a job. pack_digest is None where nobody has described it yet. traits: the columns that the
    factors compare, as matching.scoring takes them. school, gender: what its user has stated."""

    id: UUID
    image_path: str
    pack_digest: str | None
    traits: Mapping[str, Any]
    school: str | None
    gender: StatedGender | None


@dataclass(frozen=True, slots=True)
class MatchResult:
    """How many matches a job found, of those it looked for; message: what it could not look for, and why."""

    user_matches: int | None
    celebrity_matches: int | None
    message: str | None


class Matching:
    """Reads and writes for match jobs. Every method raises DatabaseError where the database fails it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._settings = SystemSettingsTable(database)

    async def rules(self) -> MatchRules:
        """The rules as they are now."""
        settings = await self._settings.get()
        return MatchRules(settings.matching_weights, settings.match_threshold)

    async def probe(self, face_id: UUID) -> ProbeFace | None:
        """The face, unless it is gone."""
        row = await self._database.fetchrow(sql.probe_face, face_id)
        if row is None:
            return None
        vector = row["embedding"]
        traits = {name: row[name] for name in _TRAITS}
        traits["embedding"] = None if vector is None else vector.to_numpy()
        return ProbeFace(face_id, row["image_path"], row["pack_digest"], traits, row["school"], row["gender"])

    async def describe(self, face_id: UUID, row: DescribedRow, gender: Gender) -> None:
        """Complete a face that was stored with its picture alone."""
        columns = [getattr(row, name) for name in DescribedRow.__dataclass_fields__]
        await self._database.execute(sql.describe_face, face_id, *columns, gender)

    async def complete(
        self, job: ClaimedJob, probe: ProbeFace, rules: MatchRules, shortlist: Sequence[UUID]
    ) -> MatchResult | None:
        """Write the matches of the job's face and end the job, all or nothing.

        shortlist: celebrities that may be among the best. Returns None, having written nothing, where the
        worker no longer holds the job. Raises DatabaseError also where the face's pack has changed since the
        probe was read, and with it the short list.
        """
        async with self._database.transaction() as connection:
            if not await connection.fetchval(sql.hold_match_job, job.id, job.worker, job.attempt):
                return None
            if await connection.fetchval(sql.lock_probe_face, probe.id) not in {
                None,
                probe.pack_digest,
            }:
                raise DatabaseError("The face was embedded by another model pack meanwhile.")
            messages: list[str] = []
            users = celebrities = None
            terms = (probe.id, MIN_QUALITY, rules.weights.as_dict(), rules.threshold, BEST)
            if job.job_type != "celebrity_match":
                missing = [name for name in ("school", "gender") if getattr(probe, name) is None]
                if missing:
                    messages.append(
                        f"Not matched with other users: the profile has no {' and no '.join(missing)}."
                    )
                else:
                    users = await connection.fetchval(sql.match_users, *terms)
            if job.job_type != "user_match":
                celebrities = await connection.fetchval(sql.match_celebrities, *terms, list(shortlist))
                if not celebrities and await _is_other_pack(connection, probe.pack_digest):
                    messages.append(
                        "Not matched with celebrities: their gallery was embedded by another model pack."
                    )
            result = MatchResult(users, celebrities, " ".join(messages) or None)
            await connection.execute(sql.complete_match_job, job.id, users, celebrities, result.message)
        return result


async def _is_other_pack(connection: Connection, pack_digest: str | None) -> bool:
    row = await connection.fetchrow(sql.celebrity_pack_digests, pack_digest)
    return not row["present"] and row["other"] is not None
