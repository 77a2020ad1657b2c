"""The match worker: it takes match jobs from the queue and writes the matches of their faces."""

from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Protocol

from db.analyzed import AnalyzedRow
from db.celebrities import Celebrities
from db.jobs import ClaimedJob, MatchJobs, hasten_jobs
from db.object_deletions import ObjectDeletions
from db.people import People
from db.pool import Database
from db.retention import Kept, remove_old
from db.system_settings import SystemSettings
from matching.celebrity_search import CelebritySearch
from matching.gallery import GalleryQuery, Shortlist
from matching.rescorer import Rescorer
from matching.store import Matching, MatchResult, MatchRules, OutdatedShortlistError, ProbeFace
from semblance.earlier_packs import pack_title
from semblance.errors import BadInputError, DatabaseError, NoFaceError, NotFoundError
from semblance.leased_queue import QueueWorker
from semblance.metrics import MATCH_SECONDS
from semblance.settings import Settings
from semblance.storage.pictures import read_picture
from semblance.storage.store import Storage
from semblance.types import AnalyzedFace, Detection, JobOutcome, ModelInfo

logger = logging.getLogger(__name__)

TOGETHER = 8
"""Match jobs that a worker does at once; their searches share a pass over the gallery."""

TIDY_EVERY_S = 3600.0

REMOVE_EVERY_S = 10.0
"""How often photos are removed whose rows were deleted elsewhere, or that could not be removed before."""


class PhotoAnalyzer(Protocol):
    """Analyzes photos whose faces were stored without an embedding: `FaceClient`, or nets in this process."""

    async def analyze_photo(
        self, data: bytes, max_faces: int | None = None
    ) -> tuple[Detection, list[AnalyzedFace]]:
        """All faces of an encoded photo with embedding and attributes, largest first, at most `max_faces`."""


class MatchWorker:
    """Drains the queue of match jobs. Any number of workers share the queue, with or without Ray.

    The jobs of a worker that is killed return to the queue when their lease ends. A job's matches and its
    completion are one transaction, so a job that is started several times has the effect of one run.
    """

    def __init__(
        self,
        database: Database,
        storage: Storage,
        analyzer: PhotoAnalyzer,
        model: ModelInfo,
        settings: Settings,
    ) -> None:
        """
        Args:
            analyzer: Runs the pack of `model`.
        """
        self.id = uuid.uuid4()
        self._database = database
        self._storage = storage
        self._analyzer = analyzer
        self._model = model
        self._jobs = MatchJobs(database)
        self._deletions = ObjectDeletions(database)
        self._matching = Matching(database)
        self._search = CelebritySearch(database, settings.home / "gallery")
        self._celebrities = Celebrities(database)
        self._people = People(database)
        lease = self._lease = timedelta(seconds=settings.match_lease_seconds)
        self._worker = QueueWorker(
            self._jobs, self._attempt, worker=self.id, noun="match job", together=TOGETHER, lease=lease
        )
        self._keep = timedelta(days=settings.match_jobs_kept_days)
        self._kept = Kept(
            notifications=timedelta(days=settings.notifications_kept_days),
            generation_logs=timedelta(days=settings.generation_logs_kept_days),
            face_searches=timedelta(days=settings.face_searches_kept_days),
        )
        self._rescorer = Rescorer(database, self.id, lease)
        self._rescoring_woken = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled: at once on a notification, and when a job or a lease is due."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._search.follow(self._model.digest))
            tasks.create_task(self._tidy())
            tasks.create_task(self._remove_photos())
            tasks.create_task(self._rescore())
            await self._worker.run()

    async def process(self, limit: int | None = None, *, seconds: float | None = None) -> list[JobOutcome]:
        """Do match jobs until none is due, `limit` are done or `seconds` have passed.

        Raises DatabaseError if no job can be claimed.
        """
        return await self._worker.process(limit, seconds=seconds)

    async def waiting(self) -> int:
        """The number of match jobs that no worker has claimed; 0 while the queue is paused. Raises
        DatabaseError."""
        return await self._jobs.workable()

    async def release(self) -> None:
        """Return claimed jobs to the queue, once `run` and `process` have ended. Raises DatabaseError."""
        await self._worker.release()

    async def _listen(self) -> None:
        async with aclosing(self._database.notifications("match_jobs")) as notifications:
            async for _ in notifications:
                self._worker.wake()
                self._rescoring_woken.set()

    async def _tidy(self) -> None:
        """Remove old match jobs and what else is kept for some time, and free what a clock that was set back
        holds up, now and every hour. Several workers may do it at the same time."""
        while True:
            try:
                if other := await self._celebrities.other_pack(self._model.digest):
                    logger.warning(
                        "the gallery was embedded by the model pack %s: new faces find no celebrities until "
                        "it is embedded with %s (python -m batch.reembed)",
                        pack_title(other),
                        self._model.pack,
                    )
                await hasten_jobs(self._database, self._lease)
                removed = await self._jobs.prune(self._keep)
                await self._search.prune_log()
                others = await remove_old(self._database, self._kept)
                logger.info("removed %d old match jobs and %d other old rows", removed, others)
            except DatabaseError as exc:
                logger.warning("cannot remove old rows now: %s", exc.message)
            await asyncio.sleep(TIDY_EVERY_S)

    async def _rescore(self) -> None:
        """Apply changed rules to stored matches when an operator asks for it."""
        while True:
            await self._rescoring_woken.wait()
            self._rescoring_woken.clear()
            try:
                await self._rescorer.work()
            except DatabaseError as exc:
                logger.warning("cannot rescore matches now: %s", exc.message)

    async def _remove_photos(self) -> None:
        """Finish the deletion of photos, and end the time to undo it. Several workers may do so at the same
        time."""
        while True:
            try:
                await self._people.forget_deletions()
                if removed := await self._deletions.drain(self._storage):
                    logger.info("removed %d deleted photos", removed)
            except DatabaseError as exc:
                logger.warning("cannot remove deleted photos now: %s", exc.message)
            await asyncio.sleep(REMOVE_EVERY_S)

    async def _attempt(self, job: ClaimedJob) -> JobOutcome:
        result = await self._match(job)
        if result is None:
            return JobOutcome(job.id, "lost")
        MATCH_SECONDS.observe(max(0.0, (datetime.now(UTC) - job.created_at).total_seconds()))
        return JobOutcome(job.id, "completed", result.user_matches, result.celebrity_matches, result.message)

    async def _match(self, job: ClaimedJob) -> MatchResult | None:
        """Returns None if another worker has the job now, or its face was deleted and the job with it."""
        claimed = ProbeFace.of(job.face_id, job.face)
        probe = claimed if claimed.pack_digest is not None else await self._completed(claimed)
        if probe is None or probe.pack_digest is None:
            return None
        rules = MatchRules.of(SystemSettings.of(job.settings))
        shortlist = Shortlist([])
        if job.job_type != "user_match":
            shortlist = await self._shortlist(probe, probe.pack_digest, rules, look=False)
        try:
            return await self._matching.complete(job, probe, rules, shortlist)
        except OutdatedShortlistError:
            shortlist = await self._shortlist(probe, probe.pack_digest, rules, look=True)
            return await self._matching.complete(job, probe, rules, shortlist)

    async def _shortlist(
        self, probe: ProbeFace, pack_digest: str, rules: MatchRules, *, look: bool
    ) -> Shortlist:
        query = GalleryQuery(probe.traits, probe.gender)
        return await self._search.shortlist(query, pack_digest, rules.weights, rules.threshold, look=look)

    async def _completed(self, probe: ProbeFace) -> ProbeFace | None:
        """A face that another client stored as a photo alone, after its photo is analyzed; None if it was
        deleted."""
        try:
            photo = await read_picture(self._storage, "faces", probe.image_path)
        except (NotFoundError, BadInputError) as exc:
            raise NotFoundError("The photo of this face is not in the storage.") from exc
        _, faces = await self._analyzer.analyze_photo(photo, 1)
        if not faces:
            raise NoFaceError
        row = AnalyzedRow.of(faces[0], self._model.digest)
        await self._matching.complete_face(probe.id, row, faces[0].attributes.gender)
        return await self._matching.probe(probe.id)
