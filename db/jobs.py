"""The queue of match jobs."""

from __future__ import annotations

from db.pool import Database
from db.queries import queries


class MatchJobs:
    """Match jobs as rows of `match_jobs`."""

    def __init__(self, database: Database) -> None:
        self._database = database
