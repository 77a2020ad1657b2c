"""Environment variables of the old app: which of them this service reads as settings, and which it does not.

This service's own variable wins. Commands say which old ones they took, because names like API_KEY and
DATABASE_URL are also set in shells that have nothing to do with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

OLD_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "database_url": ("DATABASE_URL",),
    "api_key": ("API_KEY", "PYTHON_AI_SERVICE_API_KEY"),
    "cron_secret": ("CRON_SECRET",),
    "jwt_secret": ("SUPABASE_JWT_SECRET",),
    "supabase_url": ("SUPABASE_URL", "NEXT_PUBLIC_SUPABASE_URL"),
    "supabase_anon_key": ("SUPABASE_ANON_KEY", "NEXT_PUBLIC_SUPABASE_ANON_KEY"),
    "supabase_service_role_key": ("SUPABASE_SERVICE_ROLE_KEY", "SERVICE_ROLE_KEY"),
    "picture_link_seconds": ("SUPABASE_SIGNED_URL_TTL",),
    "fal_api_key": ("FAL_API_KEY", "FAL_AI_API_KEY"),
}
"""By setting; the first that is set counts."""

NOT_READ: Final[Mapping[str, str]] = {
    "PYTHON_AI_SERVICE_URL": "the models run here; let callers use this service's address",
    "NEXT_PUBLIC_BASE_API_URL": "it is the web app's; let it lead to this service's /api",
    "QDRANT_URL": "vectors are in PostgreSQL; python -m batch.import_qdrant URL brings them over",
    "QDRANT_API_KEY": "vectors are in PostgreSQL; python -m batch.import_qdrant takes it as --api-key",
    "OPENAI_API_KEY": "nothing calls OpenAI unless SEMBLANCE_TEXT_URL and SEMBLANCE_TEXT_API_KEY say so",
}
"""Known variables that are not settings here, and why."""

_THEIRS = re.compile(r"(NEXT_PUBLIC_)?(SUPABASE|PYTHON_AI_SERVICE|FAL|QDRANT)_[A-Z0-9_]+")


def taken(environment: Mapping[str, str], prefix: str) -> dict[str, str]:
    """The old name that each setting is read from, if its own variable, with `prefix`, is not set."""
    ours = {name.upper() for name, value in environment.items() if value}
    found = {}
    for field, names in OLD_NAMES.items():
        name = next((name for name in names if environment.get(name)), None)
        if name is not None and f"{prefix}{field}".upper() not in ours:
            found[field] = name
    return found


def unread(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Variables of the old app that are set and never read, each with the reason."""
    read = {name for names in OLD_NAMES.values() for name in names}
    for name, value in sorted(environment.items()):
        if value and name not in read and (name in NOT_READ or _THEIRS.fullmatch(name)):
            yield name, NOT_READ.get(name, "nothing reads it")
