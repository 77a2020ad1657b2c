"""The matches of one face: what a match job reads, and what it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from db.analyzed import AnalyzedRow
from db.jobs import ClaimedJob
from db.pool import Connection, Database
from db.profiles import StatedGender
from db.queries import sql
from db.system_settings import SystemSettingsTable
from matching.scoring import BEST, MIN_QUALITY
from matching.traits import COLUMNS
from semblance.earlier_packs import pack_title
from semblance.errors import DatabaseError
from semblance.types import Gender
from semblance.weights import Weights


@dataclass(frozen=True, slots=True)
class MatchRules:
    """What admins set: the weights of the factors, and the threshold, the lowest score of a match."""

    weights: Weights
    threshold: float


@dataclass(frozen=True, slots=True, eq=False)
class ProbeFace:
    """The face of a match job.

    pack_digest: None while the face has a photo and no embedding. traits: the columns that the factors
    compare, as `Traits.of` takes them. school, gender: what its user states.
    """

    id: UUID
    image_path: str
    pack_digest: str | None
    traits: Mapping[str, Any]
    school: str | None
    gender: StatedGender | None


@dataclass(frozen=True, slots=True)
class MatchResult:
    """What a match job found.

    user_matches, celebrity_matches: how many; None: it did not look for these. message: why it did not.
    """

    user_matches: int | None
    celebrity_matches: int | None
    message: str | None


class Matching:
    """Reads and writes for match jobs. Every method raises DatabaseError if the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._settings = SystemSettingsTable(database)

    async def rules(self) -> MatchRules:
        """The current rules."""
        settings = await self._settings.get()
        return MatchRules(settings.matching_weights, settings.match_threshold)

    async def probe(self, face_id: UUID) -> ProbeFace | None:
        """The face; None if it was deleted."""
        row = await self._database.fetchrow(sql.probe_face, face_id)
        if row is None:
            return None
        vector = row["embedding"]
        traits = {name: row[name] for name in COLUMNS}
        traits["embedding"] = None if vector is None else vector.to_numpy()
        return ProbeFace(face_id, row["image_path"], row["pack_digest"], traits, row["school"], row["gender"])

    async def complete_face(self, face_id: UUID, row: AnalyzedRow, gender: Gender) -> None:
        """Add what was found in its photo to a face that was stored without."""
        columns = [getattr(row, name) for name in AnalyzedRow.__dataclass_fields__]
        await self._database.execute(sql.complete_face, face_id, *columns, gender)

    async def complete(
        self, job: ClaimedJob, probe: ProbeFace, rules: MatchRules, shortlist: Sequence[UUID]
    ) -> MatchResult | None:
        """Write the matches of the job's face and complete the job, in one transaction.

        Returns None, having written nothing, if the worker no longer holds the job. Raises DatabaseError also
        if the face's model pack has changed since the probe was read: the short list is then of the old pack.

        Args:
            shortlist: Celebrities that may be among the best.
        """
        async with self._database.transaction() as connection:
            held = await connection.fetchrow(sql.hold_match_job, job.id, job.worker, job.attempt)
            if held is None:
                return None
            if held["pack_digest"] not in {None, probe.pack_digest}:
                raise DatabaseError("The face has been embedded by another model pack since the job began.")
            messages: list[str] = []
            users = celebrities = None
            terms = (probe.id, MIN_QUALITY, rules.weights.as_dict(), rules.threshold, BEST, probe.pack_digest)
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
                if not celebrities and (other := await _other_pack(connection, probe.pack_digest)):
                    messages.append(
                        "Not matched with celebrities: their gallery was embedded by another model pack, "
                        f"{pack_title(other)}."
                    )
            result = MatchResult(users, celebrities, " ".join(messages) or None)
            await connection.execute(sql.complete_match_job, job.id, users, celebrities, result.message)
        return result


async def _other_pack(connection: Connection, pack_digest: str | None) -> str | None:
    """The gallery's pack where it has no embedding of this one."""
    row = await connection.fetchrow(sql.celebrity_pack_digests, pack_digest)
    return None if row["present"] else row["other"]
