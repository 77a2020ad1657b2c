"""Match jobs and Ray jobs, for operators."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Query, status

from db.jobs import JobStatus
from serve_app.api.cursors import Cursor, encode_cursor, place_by_time
from serve_app.api.dependencies import Injected, InjectedLinks, Operator
from serve_app.api.responses import BODY, errors
from serve_app.api.topics import Topic
from serve_app.ingestions import allowed_job
from serve_app.ray_jobs import REPORT_LINES
from serve_app.schemas.admin_jobs import (
    JobsToRetry,
    QueueAnswer,
    QueuedJobAnswer,
    QueuedJobsAnswer,
    RetriedJobs,
)
from serve_app.schemas.jobs import JobStatistics
from serve_app.schemas.ray_jobs import (
    AnyRayJob,
    RayJobAnswer,
    RayJobLog,
    RayJobReport,
    RayJobsAnswer,
    StoppedRayJob,
)

router = Topic(prefix="/admin", tags=["admin"])

Limit = Annotated[int, Query(ge=1, le=200)]


@router.get("/jobs", responses=errors(400, 401, 403))
async def list_match_jobs(
    _: Operator,
    services: Injected,
    links: InjectedLinks,
    status: Annotated[JobStatus, Query(description="Only jobs of this status.")] = "failed",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> QueuedJobsAnswer:
    """Match jobs of a status, the latest first, each with the photo of its face."""
    page = await services.db.job_queue.page(status, limit, place_by_time(cursor))
    return QueuedJobsAnswer(
        jobs=[QueuedJobAnswer.of(job, links) for job in page.items], next_cursor=encode_cursor(page.next)
    )


@router.get("/jobs/queue", responses=errors(401, 403))
async def read_job_queue(_: Operator, services: Injected) -> QueueAnswer:
    """Whether the queue of match jobs is paused, how many jobs it has, and how fast they are done."""
    ended = await services.db.job_queue.ended(timedelta(hours=1))
    return QueueAnswer(
        paused=await services.db.job_queue.paused(),
        completed_last_hour=ended.completed,
        failed_last_hour=ended.failed,
        statistics=JobStatistics.of(await services.db.jobs.stats(), await services.db.inference_jobs.stats()),
    )


@router.post("/jobs/pause", status_code=status.HTTP_204_NO_CONTENT, responses=errors(401, 403))
async def pause_job_queue(_: Operator, services: Injected) -> None:
    """Let no worker take match jobs. Those in hand are completed, and new ones wait."""
    await services.db.job_queue.pause(paused=True)


@router.post("/jobs/resume", status_code=status.HTTP_204_NO_CONTENT, responses=errors(401, 403))
async def resume_job_queue(_: Operator, services: Injected) -> None:
    """Let workers take match jobs again."""
    await services.db.job_queue.pause(paused=False)


@router.post("/jobs/retry", responses=errors(401, 403, *BODY))
async def retry_match_jobs(body: JobsToRetry, _: Operator, services: Injected) -> RetriedJobs:
    """Return failed match jobs to the queue, with all their attempts."""
    return RetriedJobs(retried=await services.db.job_queue.retry(body.ids))


@router.post("/jobs/retry-all", responses=errors(401, 403))
async def retry_all_match_jobs(_: Operator, services: Injected) -> RetriedJobs:
    """Return all failed match jobs to the queue, with all their attempts."""
    return RetriedJobs(retried=await services.db.job_queue.retry_all())


@router.get("/ray-jobs", responses=errors(400, 401, 403))
async def list_ray_jobs(
    _: Operator, services: Injected, limit: Limit = 50, cursor: Cursor = None
) -> RayJobsAnswer:
    """Ray jobs, the latest first, whether started here, by `semblance ingest` or by `ray job submit`."""
    page, problem = await services.ray_jobs.page(limit, place_by_time(cursor))
    return RayJobsAnswer(
        jobs=[RayJobAnswer.of(row) for row in page.items],
        next_cursor=encode_cursor(page.next),
        dashboard_url=await services.ray_jobs.dashboard_url(),
        problem=problem,
    )


@router.post("/ray-jobs", status_code=status.HTTP_201_CREATED, responses=errors(401, 403, 409, *BODY))
async def start_ray_job(body: AnyRayJob, _: Operator, services: Injected) -> RayJobAnswer:
    """Start a Ray job, with the rights of the application. 403 for a folder or bucket that
    SEMBLANCE_INGEST_ROOTS does not open, 409 while eight have not ended, 503 if Ray does not answer."""
    job = await asyncio.to_thread(allowed_job, body, services.settings.ingest_roots)
    return RayJobAnswer.of(await services.ray_jobs.get(await services.ray_jobs.submit(job)))


@router.get("/ray-jobs/{job_id}", responses=errors(401, 403, 404))
async def read_ray_job(job_id: UUID, _: Operator, services: Injected) -> RayJobAnswer:
    """A Ray job, as it was last heard of."""
    return RayJobAnswer.of(await services.ray_jobs.get(job_id))


@router.post("/ray-jobs/{job_id}/stop", responses=errors(401, 403, 404))
async def stop_ray_job(job_id: UUID, _: Operator, services: Injected) -> StoppedRayJob:
    """Ask a Ray job to end. What it has done is kept."""
    return StoppedRayJob(stopped=await services.ray_jobs.stop(job_id))


@router.get("/ray-jobs/{job_id}/log", responses=errors(401, 403, 404))
async def read_ray_job_log(job_id: UUID, _: Operator, services: Injected) -> RayJobLog:
    """The end of a Ray job's log."""
    return await services.ray_jobs.log(job_id)


@router.get("/ray-jobs/{job_id}/report", responses=errors(401, 403, 404))
async def read_ray_job_report(
    job_id: UUID,
    _: Operator,
    services: Injected,
    offset: Annotated[int, Query(ge=0, le=2**53, description="The `next_offset` of the previous page.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = REPORT_LINES,
) -> RayJobReport:
    """What became of each input of an ingestion, or which rows a re-embedding left out, so far."""
    return await services.ray_jobs.report(job_id, offset, limit)
