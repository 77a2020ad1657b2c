"""The matches of one face: what a match job reads, and what it writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from db.analyzed import AnalyzedRow
from db.jobs import ClaimedJob
from db.pool import Database
from db.profiles import StatedGender
from db.queries import sql
from db.system_settings import SystemSettings, SystemSettingsTable
from matching.gallery import Shortlist
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

    @classmethod
    def of(cls, settings: SystemSettings) -> Self:
        """The rules that these settings make."""
        return cls(settings.matching_weights, settings.match_threshold)


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

    @classmethod
    def of(cls, face_id: UUID, row: Mapping[str, Any]) -> Self:
        """The face, from the columns of the query `probe_face`."""
        vector = row["embedding"]
        traits = {name: row[name] for name in COLUMNS}
        traits["embedding"] = None if vector is None else vector.to_numpy()
        return cls(face_id, row["image_path"], row["pack_digest"], traits, row["school"], row["gender"])


@dataclass(frozen=True, slots=True)
class MatchResult:
    """What a match job found.

    user_matches, celebrity_matches: how many; None: it did not look for these. message: why it did not.
    """

    user_matches: int | None
    celebrity_matches: int | None
    message: str | None


class OutdatedShortlistError(Exception):
    """The gallery has changed since a short list was made."""


class Matching:
    """Reads and writes for match jobs. Every method raises DatabaseError if the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._settings = SystemSettingsTable(database)

    async def rules(self) -> MatchRules:
        """The current rules."""
        return MatchRules.of(await self._settings.get())

    async def probe(self, face_id: UUID) -> ProbeFace | None:
        """The face; None if it was deleted."""
        row = await self._database.fetchrow(sql.probe_face, face_id)
        return None if row is None else ProbeFace.of(face_id, row)

    async def complete_face(self, face_id: UUID, row: AnalyzedRow, gender: Gender) -> None:
        """Add what was found in its photo to a face that was stored without."""
        columns = [getattr(row, name) for name in AnalyzedRow.__dataclass_fields__]
        await self._database.execute(sql.complete_face, face_id, *columns, gender)

    async def complete(
        self, job: ClaimedJob, probe: ProbeFace, rules: MatchRules, shortlist: Shortlist
    ) -> MatchResult | None:
        """Write the matches of the job's face and complete the job, in one transaction.

        Returns None, having written nothing, if the worker no longer holds the job. Raises DatabaseError also
        if the face's model pack has changed since the probe was read: the short list is then of the old pack.
        Raises OutdatedShortlistError, having written nothing, if the gallery has changed since what the short
        list has seen.
        """
        messages: list[str] = []
        users, celebrities = job.job_type != "celebrity_match", job.job_type != "user_match"
        missing = [name for name in ("school", "gender") if getattr(probe, name) is None]
        if users and missing:
            users = False
            messages.append(f"Not matched with other users: the profile has no {' and no '.join(missing)}.")
        if celebrities and not shortlist.ids and (other := await self._other_pack(probe.pack_digest)):
            messages.append(
                "Not matched with celebrities: their gallery was embedded by another model pack, "
                f"{pack_title(other)}."
            )
        message = " ".join(messages) or None
        seen = shortlist.seen if celebrities else None
        row = await self._database.fetchrow(
            sql.complete_match_job,
            *(job.id, job.worker, job.attempt, probe.pack_digest),
            *(MIN_QUALITY, rules.weights.as_dict(), rules.threshold, BEST),
            *(users, list(shortlist.ids) if celebrities else None, message),
            *((None, None, None) if seen is None else (seen.snapshot, seen.last, seen.server)),
        )
        if row is None:
            return None
        if row["outdated"]:
            raise OutdatedShortlistError
        if row["serving_pack"] not in {None, probe.pack_digest}:
            raise DatabaseError("The face has been embedded by another model pack since the job began.")
        return MatchResult(row["users"], row["celebrities"], message)

    async def _other_pack(self, pack_digest: str | None) -> str | None:
        """The gallery's pack where it has no embedding of this one."""
        row = await self._database.fetchrow(sql.celebrity_pack_digests, pack_digest)
        return None if row is None or row["present"] else row["other"]
