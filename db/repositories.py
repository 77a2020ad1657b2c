"""All repositories over one pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from db.celebrities import Celebrities
from db.jobs import MatchJobs
from db.pool import Database
from db.profiles import Profiles


@dataclass(frozen=True, slots=True)
class Repositories:
    """Each table group's queries, by the name of what it holds."""

    celebrities: Celebrities
    jobs: MatchJobs
    profiles: Profiles

    @classmethod
    def of(cls, database: Database) -> Self:
        return cls(
            celebrities=Celebrities(database),
            jobs=MatchJobs(database),
            profiles=Profiles(database),
        )
