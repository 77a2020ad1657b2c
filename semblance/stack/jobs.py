"""Ray jobs on a running stack: submit one, follow its log, stop it."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from semblance.errors import NotFoundError
from semblance.stack.ray_head import client_environment
from semblance.stack.state import StackState

if TYPE_CHECKING:
    from ray.dashboard.modules.job.pydantic_models import JobDetails
    from ray.job_submission import JobSubmissionClient

_STOPPED_STATUS = 130
_POLL = 0.2
_PREAMBLE_END = "Running entrypoint for job "


@dataclass(frozen=True, slots=True)
class JobSummary:
    """One submitted job. status: PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED."""

    job_id: str
    status: str
    command: str
    submitted: datetime | None


def python_command(module: str, arguments: Sequence[str]) -> str:
    """A shell command that runs a module with this very interpreter: the cluster's `python` may be another
    one. -P: the folder the job starts in must not shadow packages."""
    return shlex.join([sys.executable, "-P", "-m", module, *arguments])


def interpreter_environment(interpreter: str) -> dict[str, str]:
    """Ray's runtime environment for jobs of this interpreter: empty but where a shell would split its path.

    Ray hands the path to a shell as it is, and a job whose worker cannot start is pending for ever.
    """
    quoted = shlex.quote(interpreter)
    return {} if quoted == interpreter else {"py_executable": quoted}


class Jobs:
    """The jobs of one stack."""

    def __init__(self, state: StackState) -> None:
        # Ray reads how to authenticate once, when it is first imported.
        environment = client_environment(os.environ, state.ray_token_file)
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        from ray.job_submission import JobSubmissionClient  # noqa: PLC0415

        # At INFO, which it sets itself, it reports each log that ends into the middle of that log.
        logging.getLogger("ray.dashboard.modules.job.sdk").setLevel(logging.WARNING)
        self._client: JobSubmissionClient = JobSubmissionClient(state.dashboard_url)

    def submit(self, command: str) -> str:
        """Start a job and return its id."""
        environment = interpreter_environment(sys.executable)
        return str(self._client.submit_job(entrypoint=command, runtime_env=environment))

    def list(self) -> list[JobSummary]:
        """All submitted jobs, oldest first."""
        found = [
            JobSummary(
                job_id=job.submission_id,
                status=str(job.status.value),
                command=job.entrypoint,
                submitted=datetime.fromtimestamp(job.start_time / 1000, UTC) if job.start_time else None,
            )
            for job in self._client.list_jobs()
            if job.submission_id is not None
        ]
        return sorted(found, key=lambda job: (job.submitted is None, job.submitted or datetime.now(UTC)))

    def follow(self, job_id: str, write: Callable[[str], None]) -> int:
        """Hand the log from its beginning to `write` until the job ends; returns its exit status, 130 when
        it was stopped. Raises NotFoundError for an unknown job."""
        self._details(job_id)
        asyncio.run(self._tail(job_id, write))
        # The log may close a moment before the outcome is recorded.
        while not (details := self._details(job_id)).status.is_terminal():
            time.sleep(_POLL)
        if details.status.value == "SUCCEEDED":
            return 0
        if details.status.value == "STOPPED":
            return _STOPPED_STATUS
        return details.driver_exit_code or 1

    async def _tail(self, job_id: str, write: Callable[[str], None]) -> None:
        # Ray's own words before the job's: kept back, and of interest only where the job never starts.
        preamble: str | None = ""
        async for chunk in self._client.tail_job_logs(job_id):
            if preamble is None:
                write(chunk)
                continue
            preamble += chunk
            _, begun, rest = preamble.partition(_PREAMBLE_END)
            _, ended, log = rest.partition("\n")
            if begun and ended:
                preamble = None
                write(log)
        if preamble:
            write(preamble)

    def message(self, job_id: str) -> str:
        """Ray's own words on how the job is doing or ended, without the end of the log it repeats."""
        return str(self._details(job_id).message or "").partition(", last available logs")[0]

    def stop(self, job_id: str) -> bool:
        """Ask a job to end; False when it had ended already. Raises NotFoundError for an unknown job."""
        self._details(job_id)
        return bool(self._client.stop_job(job_id))

    def _details(self, job_id: str) -> JobDetails:
        try:
            return self._client.get_job_info(job_id)
        except RuntimeError as exc:
            raise NotFoundError(f"There is no job {job_id}; `semblance jobs list` shows them.") from exc
