"""Ray jobs on a running stack: submit one, follow its log, stop it."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from ops.stack.home import StackHome
from ops.stack.ray_head import client_environment
from ops.stack.state import StackState, read_state
from semblance.errors import NotFoundError, RayJobLostError, RayRefusedError, RayUnreachableError

if TYPE_CHECKING:
    from ray.dashboard.modules.job.pydantic_models import JobDetails
    from ray.job_submission import JobSubmissionClient

_STOPPED_STATUS = 130
_POLL = 0.2

_PATIENCE_S = 30.0
"""How long Ray may be silent before a job counts as lost: longer than its restart takes."""

_BREAKS = 5
"""How often the log of an ended job may break before the rest of the log is given up."""
_PREAMBLE_END = "Running entrypoint for job "


@dataclass(frozen=True, slots=True)
class JobSummary:
    """A submitted Ray job. `status` is PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED."""

    job_id: str
    status: str
    command: str
    submitted: datetime | None


class Jobs:
    """The Ray jobs of one stack."""

    def __init__(self, state: StackState) -> None:
        # Ray reads how to authenticate only when it is first imported.
        environment = client_environment(os.environ, state.ray_token_file)
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        from ray.job_submission import JobSubmissionClient  # noqa: PLC0415

        # At INFO, its own choice, it reports the end of each log in the middle of that log.
        logging.getLogger("ray.dashboard.modules.job.sdk").setLevel(logging.WARNING)
        self._url = state.dashboard_url
        self._home = StackHome(state.home)
        with self._answering():
            self._client: JobSubmissionClient = JobSubmissionClient(state.dashboard_url)

    def submit(self, command: str) -> str:
        """Start a job and return its id."""
        job_id = str(uuid.uuid4())
        with self._answering():
            return str(self._client.submit_job(entrypoint=command, submission_id=job_id))

    def list(self) -> list[JobSummary]:
        """All submitted jobs, oldest first."""
        with self._answering():
            jobs = self._client.list_jobs()
        found = [
            JobSummary(
                job_id=job.submission_id,
                status=str(job.status.value),
                command=job.entrypoint,
                submitted=datetime.fromtimestamp(job.start_time / 1000, UTC) if job.start_time else None,
            )
            for job in jobs
            if job.submission_id is not None
        ]
        return sorted(found, key=lambda job: (job.submitted is None, job.submitted or datetime.now(UTC)))

    def follow(self, job_id: str, write: Callable[[str], None]) -> int:
        """Pass the log from its beginning to `write` until the job ends. Returns its exit status, 130 if it
        was stopped, and 128 and the signal's number if one ended it, as a shell says it. A connection that
        breaks is opened again.

        Raises NotFoundError for an unknown job, and RayJobLostError if the service is stopped meanwhile or
        Ray is restarted or silent for _PATIENCE_S.
        """
        self._details(job_id)
        log = _Log(write)
        breaks = 0
        while True:
            try:
                asyncio.run(self._tail(job_id, log))
                whole = True
            except RayUnreachableError:
                whole = False
                breaks += 1
            details = self._details_in_time(job_id)
            if details.status.is_terminal() and (whole or breaks > _BREAKS):
                break
            # The log may also close a moment before the outcome is recorded.
            time.sleep(_POLL)
        log.close()
        if details.status.value == "SUCCEEDED":
            return 0
        self._require_running()
        if details.status.value == "STOPPED":
            return _STOPPED_STATUS
        status = details.driver_exit_code or 1
        return status if status > 0 else 128 - status

    async def _tail(self, job_id: str, log: _Log) -> None:
        log.rewind()
        chunks = cast(AsyncGenerator[str, None], self._client.tail_job_logs(job_id))
        async with aclosing(chunks):
            while True:
                with self._answering():
                    chunk = await anext(chunks, None)
                if chunk is None:
                    return
                # Outside: errors of the reader of the log are not Ray's.
                log.add(chunk)

    def message(self, job_id: str) -> str:
        """Ray's message about the state of the job, without the end of the log that it repeats."""
        return str(self._details(job_id).message or "").partition(", last available logs")[0]

    def stop(self, job_id: str) -> bool:
        """Ask a job to end. Returns False if it had already ended. Raises NotFoundError for an unknown
        job."""
        self._details(job_id)
        with self._answering():
            return bool(self._client.stop_job(job_id))

    def _details(self, job_id: str) -> JobDetails:
        with self._answering():
            try:
                return self._client.get_job_info(job_id)
            except RuntimeError as exc:
                if _refusal(exc) != HTTPStatus.NOT_FOUND:
                    raise
                raise NotFoundError(
                    f"Ray does not know the job {job_id}. A restart of Ray ends all jobs, and forgets them; "
                    "`semblance jobs list` lists those since."
                ) from exc

    def _details_in_time(self, job_id: str) -> JobDetails:
        """`_details` of a job that is followed. Waits for Ray to answer. Raises RayJobLostError."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return self._details(job_id)
            except RayUnreachableError as exc:
                self._require_running()
                if time.monotonic() > deadline:
                    raise RayJobLostError(
                        f"{exc.message} The job may still run: `semblance status` shows the state of the "
                        f"service, `semblance jobs follow {job_id}` follows the log again."
                    ) from exc
            except NotFoundError as exc:
                self._require_running()
                raise RayJobLostError(
                    "Ray was restarted, which ended the job. What it did until then is kept: run the same "
                    "command again."
                ) from exc
            time.sleep(_POLL)

    def _require_running(self) -> None:
        """Raise RayJobLostError if the service is being stopped, in which case its jobs seem to have
        failed."""
        if read_state(self._home) is None:
            raise RayJobLostError(
                "The service was stopped, which ended the job. What it did until then is kept: start the "
                "service with `semblance up --detach` and run the same command again."
            )

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Turn the many errors of a Ray that is stopped, restarted or unreachable into RayUnreachableError,
        and an answer with a status of 4xx into RayRefusedError."""
        from aiohttp import ClientError  # noqa: PLC0415
        from ray.exceptions import AuthenticationError  # noqa: PLC0415
        from requests import RequestException  # noqa: PLC0415

        try:
            yield
        except AuthenticationError as exc:
            raise RayRefusedError(f"Ray refused the request: {exc}") from exc
        except (RequestException, ClientError, OSError, RuntimeError) as exc:
            if _refusal(exc) is not None:
                raise RayRefusedError(f"Ray refused the request: {exc}") from exc
            raise RayUnreachableError(f"Ray does not answer at {self._url}.") from exc


def _refusal(error: Exception) -> int | None:
    """The status of an answer with 4xx. Ray has no error class for it
    (ray/dashboard/modules/dashboard_sdk.py)."""
    refused = re.match(r"Request failed with status code (4\d\d)\b", str(error))
    return int(refused[1]) if refused and isinstance(error, RuntimeError) else None


class _Log:
    """Passes on each part of a log once, although every connection sends it from the beginning, and without
    Ray's preamble."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._preamble: str | None = ""
        self._seen = 0
        self._place = 0

    def rewind(self) -> None:
        """Start again from the beginning of the log."""
        self._place = 0

    def add(self, chunk: str) -> None:
        """Pass on the new part of the next chunk."""
        new = chunk[max(0, self._seen - self._place) :]
        self._place += len(chunk)
        self._seen = max(self._seen, self._place)
        if self._preamble is None:
            if new:
                self._write(new)
            return
        self._preamble += new
        _, begun, rest = self._preamble.partition(_PREAMBLE_END)
        _, ended, log = rest.partition("\n")
        if begun and ended:
            self._preamble = None
            self._write(log)

    def close(self) -> None:
        """Pass on the preamble if the job never started."""
        if self._preamble:
            self._write(self._preamble)
