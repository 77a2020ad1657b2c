"""Presence, as reported by clients without a realtime connection."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from semblance.errors import BadInputError
from serve_app.api.dependencies import CurrentUser, Injected
from serve_app.api.responses import BODY, errors
from serve_app.api.topics import Topic
from serve_app.schemas.presence import PresenceAnswer, PresenceBody

router = Topic(prefix="/presence", tags=["presence"])

CLOCK_LEEWAY = timedelta(minutes=1)
"""How far a client's clock may be ahead; times within it count as now."""


@router.patch("", responses=errors(400, 401, *BODY))
async def update_presence(body: PresenceBody, user: CurrentUser, services: Injected) -> PresenceAnswer:
    """Say when the user was last there. A time earlier than the known one changes nothing."""
    if body.last_seen > datetime.now(UTC) + CLOCK_LEEWAY:
        raise BadInputError("last_seen is in the future; check the device's clock.")
    return PresenceAnswer(last_seen=await services.db.presence.seen(user.id, body.last_seen))
