"""Ray jobs that operators start through the API: submitted, watched and stopped.

A job runs with the application's own rights. Its command is one of those of `batch`, with options that were
validated, and its environment is that of the cluster's nodes without the database owner's login. Ray forgets
its jobs when it is restarted, so the table `ray_jobs` keeps them; jobs write their progress there themselves,
also those that a command submitted, ours or Ray's.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias
from uuid import UUID

import ray
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient
from ray.util.state import get_log
from ray.util.state.exception import RayStateApiException
from requests import RequestException

from db.admin_events import tell_operators
from db.audit import audit
from db.pages import ByTime, Page
from db.pool import Connection, Database
from db.ray_jobs import RayJobKind, RayJobRow, RayJobRows, RayJobStatus
from semblance.actor import actor_var
from semblance.errors import ConflictError, NotFoundError, NotReadyError, SemblanceError
from semblance.interpreters import python_command
from semblance.redaction import redacted
from semblance.settings import Settings
from serve_app.schemas.ray_jobs import RayJobLog, RayJobReport

MOST_OPEN = 8
"""Jobs that may be open when another one is started: each is a process with an interpreter of its own."""

LOG_LINES = 2000
LOG_CHARACTERS = 200_000
"""Most of a log that is shown, from its end."""

REPORT_LINES = 200
"""Lines of one page of a report."""

_REPORTING = frozenset({"ingest", "reembed"})
_OWNERS = "SEMBLANCE_OWNER_DATABASE_URL"
_SILENT_S = 60.0
"""A job that this Ray does not know, and that has told nothing for so long, was lost. Until then it may just
be being submitted; one that goes on telling how far it is runs on another cluster."""

_STATUSES: Mapping[str, RayJobStatus] = {
    "PENDING": "pending",
    "RUNNING": "running",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "STOPPED": "stopped",
}
_LOST = "Ray was restarted, which ended the job. Start it again: it continues where it was."
_FAILED = "The job failed; its log says why."

_LONGEST_REASON = 1000


class Submitted(Protocol):
    """A job to start: its kind, and the arguments of its command."""

    @property
    def kind(self) -> RayJobKind: ...

    def arguments(self) -> list[str]: ...


Claim: TypeAlias = Callable[[Connection, UUID], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _State:
    """What Ray says of a job. reason: why it failed, if it did."""

    status: RayJobStatus
    reason: str


class RayJobs:
    """The Ray jobs of this service. Methods raise DatabaseError if the database does not answer, and those
    that ask Ray NotReadyError if there is no Ray or its dashboard does not answer."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._reports = settings.home.absolute() / "reports"
        self._database = database
        self._rows = RayJobRows(database)

    async def submit(self, request: Submitted, claim: Claim | None = None) -> UUID:
        """Start a job; returns its id.

        Args:
            claim: what else the transaction does that adds the job; may refuse it by an exception.

        Raises ConflictError while MOST_OPEN others have not ended, and what `claim` raises.
        """
        await self._check_open()
        job_id = uuid.uuid4()
        arguments = request.arguments()
        if request.kind in _REPORTING:
            arguments.insert(0, f"--report={self._report(job_id)}")
        client = await asyncio.to_thread(_client)
        async with self._database.transaction() as connection:
            await self._rows.add(connection, job_id, request.kind, arguments, started_by=actor_var.get())
            if claim is not None:
                await claim(connection, job_id)
            after = {"kind": request.kind, "arguments": request.arguments()}
            await audit(connection, "ray_job.start", str(job_id), after=after)
            await tell_operators(connection, "jobs", {"ray_job": str(job_id)})
        try:
            await asyncio.to_thread(_submit, client, str(job_id), f"batch.{request.kind}", arguments)
        except SemblanceError as exc:
            await self._rows.set_status(job_id, "failed", exc.answer)
            raise
        return job_id

    async def page(
        self, limit: int, after: ByTime | None = None
    ) -> tuple[Page[RayJobRow, ByTime], str | None]:
        """The latest jobs after a place, and why the state of those that have not ended is not known."""
        problem = await self.refresh()
        return await self._rows.page(limit, after), problem

    async def refresh(self) -> str | None:
        """Ask Ray for the state of jobs that have not ended; returns why that cannot be known."""
        try:
            await self._ask_ray()
        except NotReadyError as exc:
            return exc.message
        return None

    async def get(self, job_id: UUID) -> RayJobRow:
        """A job. Raises NotFoundError."""
        row = await self._rows.get(job_id)
        if row is None:
            raise NotFoundError("There is no Ray job with this id.")
        return row

    async def stop(self, job_id: UUID) -> bool:
        """Ask a job to end. Returns False if it had ended. Raises NotFoundError."""
        job = await self.get(job_id)
        client = await asyncio.to_thread(_client)
        stopped = await asyncio.to_thread(_stop, client, job.submission_id)
        if stopped:
            async with self._database.transaction() as connection:
                before = {"kind": job.kind, "status": job.status}
                await audit(connection, "ray_job.stop", str(job_id), before=before)
                await tell_operators(connection, "jobs", {"ray_job": str(job_id)})
        return stopped

    async def log(self, job_id: UUID) -> RayJobLog:
        """The end of a job's log, at most LOG_LINES and LOG_CHARACTERS. Raises NotFoundError."""
        job = await self.get(job_id)
        client = await asyncio.to_thread(_client)
        text = await asyncio.to_thread(_log, client, job.submission_id)
        shown = text[-LOG_CHARACTERS:]
        truncated = len(shown) < len(text) or text.count("\n") >= LOG_LINES
        return RayJobLog(text=redacted(shown), truncated=truncated)

    async def report(self, job_id: UUID, offset: int = 0, limit: int = REPORT_LINES) -> RayJobReport:
        """Lines of a job's report from a place in the file, which a job that runs goes on writing.

        Raises NotFoundError for jobs without a report on this machine.
        """
        row = await self.get(job_id)
        if row.kind not in _REPORTING:
            raise NotFoundError("Jobs of this kind write no report; the log ends with a summary.")
        return await asyncio.to_thread(_read_report, self._report(job_id), offset, limit)

    async def dashboard_url(self) -> str | None:
        """Where Ray's dashboard is; None without one."""
        try:
            client = await asyncio.to_thread(_client)
        except NotReadyError:
            return None
        return str(client.get_address())

    def _report(self, job_id: UUID) -> Path:
        return self._reports / f"{job_id}.jsonl"

    async def _check_open(self) -> None:
        if len(await self._rows.open()) < MOST_OPEN:
            return
        # Some may have ended since Ray was asked.
        with suppress(NotReadyError):
            await self._ask_ray()
        if len(await self._rows.open()) >= MOST_OPEN:
            raise ConflictError(f"{MOST_OPEN} Ray jobs have not ended yet. Wait for one of them, or stop it.")

    async def _ask_ray(self) -> None:
        """Bring the rows of jobs that have not ended up to date."""
        rows = await self._rows.open()
        if not rows:
            return
        client = await asyncio.to_thread(_client)
        states = await asyncio.to_thread(_states, client)
        for job in rows:
            state = states.get(job.submission_id)
            if state is not None:
                await self._rows.set_status(job.id, state.status, state.reason)
            elif job.silence > _SILENT_S:
                await self._rows.set_status(job.id, "failed", _LOST)


def _client() -> JobSubmissionClient:
    if not ray.is_initialized():
        raise NotReadyError(
            "This process runs without Ray, so it has no Ray jobs. `semblance up` starts the service on Ray.",
            60,
        )
    with _answering():
        # Of this cluster: another Ray may run on the machine.
        return JobSubmissionClient(_gcs_address())


def _gcs_address() -> str:
    return str(ray.get_runtime_context().gcs_address)


def _submit(client: JobSubmissionClient, job_id: str, module: str, arguments: list[str]) -> None:
    environment: dict[str, Any] = {
        # An empty setting is one that is not set.
        "env_vars": {_OWNERS: ""},
    }
    with _answering():
        client.submit_job(
            entrypoint=python_command(module, arguments), submission_id=job_id, runtime_env=environment
        )


def _states(client: JobSubmissionClient) -> dict[str, _State]:
    with _answering():
        jobs = client.list_jobs()
    return {
        str(job.submission_id): _State(
            _STATUSES[job.status.value], _reason(job.message, job.driver_exit_code)
        )
        for job in jobs
        if job.submission_id
    }


def _reason(message: str | None, exit_code: int | None) -> str:
    """Why Ray says that a job failed, unless its command began: then its log says more."""
    if exit_code is not None or not message:
        return _FAILED
    return f"The job could not begin: {redacted(message)[:_LONGEST_REASON]}"


def _stop(client: JobSubmissionClient, submission_id: str) -> bool:
    with _answering():
        if all(job.submission_id != submission_id for job in client.list_jobs()):
            raise NotFoundError(
                "Ray does not know this job: it was restarted, or the job is of another cluster."
            )
        return bool(client.stop_job(submission_id))


def _log(client: JobSubmissionClient, submission_id: str) -> str:
    with _answering():
        known = (job.driver_node_id for job in client.list_jobs() if job.submission_id == submission_id)
        node = next(known, None)
        if node is None:
            raise NotFoundError("Ray has no log of this job: it has not begun, or Ray was restarted.")
        # By the file's name: `submission_id` alone is refused by the function itself.
        chunks = get_log(
            address=_gcs_address(),
            node_id=node,
            filename=f"job-driver-{submission_id}.log",
            tail=LOG_LINES,
            timeout=10,
            errors="replace",
            filter_ansi_code=True,
        )
        try:
            return "".join(chunks)
        except RayStateApiException as exc:
            raise NotFoundError("Ray has no log of this job: it has not begun, or its node is gone.") from exc


@contextmanager
def _answering() -> Iterator[None]:
    """Turn the many errors of a dashboard that does not answer into NotReadyError."""
    try:
        yield
    except (AuthenticationError, RequestException, OSError, RuntimeError, ValueError) as exc:
        raise NotReadyError(
            "Ray's dashboard, which starts jobs, does not answer this replica of the API. On a cluster start "
            "the head with a `--dashboard-host` that its nodes reach.",
            5,
        ) from exc


def _read_report(path: Path, offset: int, limit: int) -> RayJobReport:
    lines: list[dict[str, object]] = []
    try:
        with path.open("rb") as file:
            file.seek(offset)
            while len(lines) < limit and (line := file.readline()).endswith(b"\n"):
                lines.append(json.loads(line))
                offset += len(line)
    except FileNotFoundError:
        raise NotFoundError(
            "This job has no report here: it has not begun, or it ran on a node with another home."
        ) from None
    except ValueError:
        raise NotFoundError("There is no line of the report at this offset.") from None
    return RayJobReport(lines=lines, next_offset=offset if len(lines) == limit else None)
