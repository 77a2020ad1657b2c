"""The way to the console."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import RedirectResponse

router = APIRouter(include_in_schema=False)


@router.get("/")
@router.get("/console")
async def go_to_console() -> RedirectResponse:
    """Relative, because the service's public address may have a path."""
    return RedirectResponse("console/")
