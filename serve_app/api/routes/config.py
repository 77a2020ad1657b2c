"""What a client must know before anyone signs in."""

from __future__ import annotations

from serve_app.api.dependencies import Injected
from serve_app.api.topics import Topic
from serve_app.schemas.profiles import ConfigAnswer

router = Topic(prefix="/config", tags=["account"])


@router.get("")
async def get_config(services: Injected) -> ConfigAnswer:
    """Public settings. Needs no credentials."""
    settings = await services.db.system_settings.get()
    return ConfigAnswer(allowNonEduEmails=settings.allow_non_edu_emails)
