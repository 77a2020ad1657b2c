"""The FastAPI application: routes, errors and limits around one set of services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request, Security
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline

from semblance import __version__
from semblance.settings import Settings
from serve_app.api.errors import install_error_handlers
from serve_app.api.limits import Slots
from serve_app.api.middleware import BodyLimitMiddleware, RequestIdMiddleware
from serve_app.api.routes import compute, health, lookalikes, objects
from serve_app.api.services import Injected, Services
from serve_app.auth import check_secret

BODY_OVERHEAD = 1.4
"""A picture's largest body over the picture itself: base64 adds a third, a form a few hundred bytes."""

DESCRIPTION = """\
Who looks like this face? Post a photo; get the face described, embedded, and its lookalikes.

Face-compute endpoints take the service API key as `Authorization: Bearer …`
(`semblance status` prints it). Pictures: JPEG, PNG, WebP, BMP, TIFF, AVIF, HEIC.
"""

api_key_bearer = HTTPBearer(auto_error=False, scheme_name="ApiKey", description="Service API key.")


async def require_api_key(
    request: Request, services: Injected, _: Annotated[object, Security(api_key_bearer)]
) -> None:
    """Refuse a request without the service's API key."""
    check_secret(request.headers.get("authorization"), services.settings.required_api_key)


def create_app(settings: Settings, open_services: Callable[[], Awaitable[Services]]) -> FastAPI:
    """Build the application; `open_services` runs at start on the server's own event loop, and the
    database it opened is closed at the end."""
    slots = Slots(settings.max_inflight)

    async def take_slot() -> AsyncIterator[None]:
        async with slots.take():
            yield

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.services = await open_services()
        yield
        await app.state.services.database.close()

    app = FastAPIOffline(
        title="Semblance",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
    )
    face_compute = APIRouter(dependencies=[Depends(require_api_key), Depends(take_slot)])
    face_compute.include_router(compute.router)
    face_compute.include_router(lookalikes.router)
    app_api = APIRouter(prefix="/api")
    app.include_router(health.router)
    app.include_router(face_compute)
    app.include_router(app_api)
    app.include_router(objects.router)
    app.add_middleware(BodyLimitMiddleware, limit=int(settings.max_image_bytes * BODY_OVERHEAD))
    app.add_middleware(RequestIdMiddleware)
    install_error_handlers(app)
    return app
