"""The scores of stored matches, and rescoring, for operators."""

from __future__ import annotations

from fastapi import status

from serve_app.api.dependencies import Injected, Operator
from serve_app.api.responses import errors
from serve_app.api.topics import Topic
from serve_app.schemas.rescoring import (
    LatestRescoring,
    RescoringAnswer,
    ScoreCounts,
    ScoreHistogramAnswer,
)

router = Topic(prefix="/admin/matching", tags=["admin"])


@router.get("/scores", responses=errors(401, 403))
async def read_score_histogram(_: Operator, services: Injected) -> ScoreHistogramAnswer:
    """How many stored matches have which score, in 50 bins. Of large tables a sample is read."""
    users, celebrities = await services.db.rescorings.histograms()
    return ScoreHistogramAnswer(
        user_matches=ScoreCounts.of(users), celebrity_matches=ScoreCounts.of(celebrities)
    )


@router.get("/rescoring", responses=errors(401, 403))
async def read_rescoring(_: Operator, services: Injected) -> LatestRescoring:
    """The latest rescoring and how far it is."""
    row = await services.db.rescorings.latest()
    return LatestRescoring(rescoring=None if row is None else RescoringAnswer.of(row))


@router.post("/rescoring", status_code=status.HTTP_202_ACCEPTED, responses=errors(401, 403))
async def start_rescoring(_: Operator, services: Injected) -> LatestRescoring:
    """Apply the current rules to stored matches, as `semblance rescore` does; a worker does it at once. One
    that is under way also applies rules that were changed since it began, so that none is started then."""
    await services.db.rescorings.start()
    return await read_rescoring(_, services)
