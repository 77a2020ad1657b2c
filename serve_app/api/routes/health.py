"""Liveness and readiness."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from fastapi import APIRouter

from semblance.errors import SemblanceError, ServiceNotReadyError
from serve_app.api.dependencies import Injected, InjectedStoreProbe
from serve_app.api.responses import errors
from serve_app.schemas.base import Health, Readiness

router = APIRouter(tags=["health"])

CHECK_TIMEOUT_S = 5.0


@router.get("/health")
async def health(services: Injected) -> Health:
    """Whether the process answers. Needs no credentials and checks nothing else."""
    return Health(model=services.model.pack)


@router.get("/ready", responses=errors(503))
async def ready(services: Injected, store_probe: InjectedStoreProbe) -> Readiness:
    """Whether database, picture store, models and queue answer, and the first two accept writes. Otherwise
    503 says what is missing. The store is tried at most every 15 seconds."""

    async def check(part: Awaitable[str]) -> str:
        try:
            return await asyncio.wait_for(part, CHECK_TIMEOUT_S)
        except TimeoutError:
            return f"failed: no answer within {CHECK_TIMEOUT_S:.0f} s"
        except SemblanceError as exc:
            return f"failed: {exc.answer}"

    async def database() -> str:
        await services.database.ping()
        return "ok"

    async def queue() -> str:
        return f"{await services.db.jobs.pending()} waiting"

    parts = {
        "database": database(),
        "storage": store_probe.check(),
        "queue": queue(),
        "matcher": services.matcher.check(),
        **services.faces.checks(services.model),
    }
    results = await asyncio.gather(*map(check, parts.values()))
    checks = dict(zip(parts, results, strict=True))
    missing = [name for name, result in checks.items() if result.startswith("failed")]
    if missing:
        raise ServiceNotReadyError(f"Not ready: {', '.join(missing)}.", 2, checks)
    return Readiness(checks=checks)
