"""Suggested texts, for admins."""

from __future__ import annotations

import asyncio

from deployments.writing.opening import blocked_words
from semblance.errors import ConfigurationError
from semblance.settings import Settings
from serve_app.api.dependencies import Injected, Operator
from serve_app.api.responses import errors
from serve_app.api.topics import Topic
from serve_app.schemas.admin_texts import TextsAnswer

router = Topic(prefix="/admin/texts", tags=["admin"])


@router.get("", responses=errors(401, 403))
async def get_texts(_: Operator, services: Injected) -> TextsAnswer:
    """Who writes suggested texts, how they are judged, and how their queue is doing. `PATCH
    /api/admin/settings` switches them on and off; `GET /api/admin/generations` counts calls and tokens."""
    blocked = await asyncio.to_thread(_count, services.settings)
    return TextsAnswer.of(services.settings, blocked, await services.db.inference_jobs.stats())


def _count(settings: Settings) -> int | None:
    try:
        return len(blocked_words(settings))
    except ConfigurationError:
        return None
