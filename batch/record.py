"""A Ray job tells the database how far it is, so that operators see it wherever they look."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import typer

from batch.progress import latest
from db.admin_events import tell_operators
from db.pool import Database
from db.ray_jobs import RayJobKind, RayJobProgress, RayJobRows, RayJobStatus, SubmittedRayJob
from semblance.actor import actor_var, command_actor
from semblance.errors import DatabaseError, QueryError, SemblanceError, StorageError
from semblance.redaction import redacted
from semblance.running import ray_submission_id
from semblance.settings import Settings

logger = logging.getLogger(__name__)

_INCOMPLETE = "Not everything could be done; the log says what is left."

EVERY_S = 1.0

HEARD_S = 20.0
"""After how long the job tells the same again. To the API, a job that its Ray does not know and that is
silent for much longer is lost."""

_LAST_S = 10.0
"""How long the end of the job waits for its last word."""


@contextmanager
def recorded(settings: Settings) -> Iterator[None]:
    """Write the progress of this process's job into the table `ray_jobs` while the block lasts, then how it
    ended, which Ray forgets, and why it failed. Does nothing for a job that was not submitted to Ray."""
    submission_id = ray_submission_id()
    if submission_id is None or settings.database_url is None:
        yield
        return
    recorder = _Recorder(submission_id, settings.database_url.get_secret_value())
    recorder.start()
    try:
        yield
    except SemblanceError as exc:
        recorder.end("failed", why_it_failed(exc))
        raise
    except typer.Exit as exc:
        recorder.end("failed" if exc.exit_code else "succeeded", _INCOMPLETE if exc.exit_code else None)
        raise
    except BaseException:
        recorder.end("failed")
        raise
    else:
        recorder.end("succeeded")


def why_it_failed(error: SemblanceError) -> str:
    """A sentence for operators. Every job continues where it was, also one whose database was restarted."""
    if isinstance(error, DatabaseError | StorageError) and not isinstance(error, QueryError):
        return f"{error.message}\nOnce that is mended, run the same command again: it continues where it was."
    return error.message


class _Recorder(threading.Thread):
    """A thread with a separate connection, because a job keeps its event loop busy."""

    def __init__(self, submission_id: str, dsn: str) -> None:
        super().__init__(name="record of the job", daemon=True)
        self._dsn = dsn
        self._job = SubmittedRayJob(
            id=_row_id(submission_id),
            submission_id=submission_id,
            # `python -m batch.ingest`: the folder of the module is the kind.
            kind=cast(RayJobKind, Path(sys.argv[0]).parent.name),
            arguments=[redacted(argument) for argument in sys.argv[1:]],
        )
        self._ended = threading.Event()
        self._status: RayJobStatus = "running"
        self._message: str | None = None

    def end(self, status: RayJobStatus, message: str | None = None) -> None:
        """Write the last state. message: why the job failed, if it did."""
        self._status, self._message = status, message
        self._ended.set()
        self.join(_LAST_S)

    def run(self) -> None:
        try:
            asyncio.run(self._record_in_the_end())
        except SemblanceError as exc:
            # What the job does matters more than what is seen of it.
            logger.warning("the progress of this job is not recorded any more: %s", exc.message)

    async def _record_in_the_end(self) -> None:
        """Go on after a database that did not answer, as the job itself may. How the job ended is told, too,
        if the database answers again before `end` gives up."""
        # The job is known already if a page has started it; else a command has, ours or Ray's.
        actor_var.set(command_actor())
        is_told = False
        while True:
            try:
                await self._record()
            except DatabaseError as exc:
                level = logging.DEBUG if is_told else logging.WARNING
                logger.log(level, "the progress of this job is not recorded for now: %s", exc.message)
                is_told = True
                await asyncio.sleep(EVERY_S)
            else:
                return

    async def _record(self) -> None:
        database = await Database.connect(self._dsn, pool_size=1)
        try:
            rows, told, heard = RayJobRows(database), None, 0.0
            while True:
                ended = self._ended.is_set()
                progress = RayJobProgress(
                    latest.done, latest.total, latest.counted, self._message, self._status
                )
                if progress != told or ended or time.monotonic() - heard >= HEARD_S:
                    async with database.transaction() as connection:
                        await rows.record(connection, self._job, progress)
                        await tell_operators(connection, "jobs", {"ray_job": str(self._job.id)})
                    told, heard = progress, time.monotonic()
                if ended:
                    return
                await asyncio.to_thread(self._ended.wait, EVERY_S)
        finally:
            await database.close()


def _row_id(submission_id: str) -> uuid.UUID:
    """Jobs that we submit have UUIDs, and a page knows its own already. Those of Ray's command, such as
    `raysubmit_…`, get one here; Ray accepts the same id again after it has forgotten the first job."""
    try:
        return uuid.UUID(submission_id)
    except ValueError:
        return uuid.uuid4()
