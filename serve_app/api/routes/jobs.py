"""Match jobs: the state of one, statistics of all, and processing on demand."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from semblance.errors import NotFoundError
from serve_app.api.dependencies import CurrentUser, Injected, Operator, require_cron
from serve_app.api.responses import errors
from serve_app.schemas.jobs import MAX_PROCESSED, JobAnswer, JobStatistics, ProcessedJobs

router = APIRouter(tags=["jobs"])


@router.get("/jobs/{job_id}", responses=errors(401, 403, 404))
async def read_job(job_id: UUID, user: CurrentUser, services: Injected) -> JobAnswer:
    """One of the user's match jobs; finished ones are kept for a month."""
    job = await services.db.jobs.get(job_id, user_id=user.id)
    if job is None:
        raise NotFoundError("You have no match job with this id.")
    return JobAnswer.of(job)


@router.get("/admin/jobs/stats", responses=errors(401, 403))
async def read_job_statistics(_: Operator, services: Injected) -> JobStatistics:
    """The queues at a glance: of match jobs, and of texts."""
    return JobStatistics.of(await services.db.jobs.stats(), await services.db.inference_jobs.stats())


@router.get("/cron/process-jobs", dependencies=[Depends(require_cron)], responses=errors(401))
async def process_jobs(
    services: Injected,
    limit: Annotated[int, Query(ge=1, le=MAX_PROCESSED, description="The maximum number of jobs.")] = 100,
) -> ProcessedJobs:
    """Process the match jobs that are due and then the jobs of texts, each for about twenty seconds at
    most. Both start by themselves as soon as a job is queued; this is for schedulers that want to be
    sure."""
    outcomes = await services.matcher.process(limit)
    if len(outcomes) < limit:
        outcomes += await services.writer.process(limit - len(outcomes))
    return ProcessedJobs.of(outcomes)
