"""How the generation of pictures and texts is doing, for admins."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from serve_app.api.dependencies import Injected, Operator
from serve_app.api.responses import errors
from serve_app.api.topics import Topic
from serve_app.schemas.admin_generations import GenerationDaySummary, GenerationsAnswer

router = Topic(prefix="/admin/generations", tags=["admin"])


@router.get("", responses=errors(401, 403))
async def list_generations(
    _: Operator,
    services: Injected,
    days: Annotated[int, Query(ge=1, le=366, description="How many days (UTC), including today.")] = 30,
) -> GenerationsAnswer:
    """Calls of providers of pictures and texts by day, kind and model: how many succeeded, and how long they
    took."""
    found = await services.db.generation_logs.days(days)
    return GenerationsAnswer(generations=[GenerationDaySummary.of(calls) for calls in found])
