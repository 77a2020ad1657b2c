"""The FastAPI application: routes, errors and limits around one set of services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware

from deployments.vision.parsing import ACCEPTED
from semblance import __version__
from semblance.settings import Settings
from serve_app.api.bodies import BodyMiddleware
from serve_app.api.compat import install as install_compat
from serve_app.api.cookies import CookiesMiddleware
from serve_app.api.copies import Copies
from serve_app.api.deadline import DeadlineMiddleware
from serve_app.api.dependencies import API_KEY
from serve_app.api.document import write_document_once
from serve_app.api.errors import install_error_handlers
from serve_app.api.gauges import keep_sampling
from serve_app.api.head import HeadMiddleware
from serve_app.api.known_paths import KnownPaths
from serve_app.api.middleware import (
    AddressMiddleware,
    AnswerHeadersMiddleware,
    MetricsMiddleware,
    RequestIdMiddleware,
    RoutedMiddleware,
    UnexpectedErrorMiddleware,
)
from serve_app.api.origins import UnlistedOriginMiddleware
from serve_app.api.pages import ConsoleFiles, DocsPolicyMiddleware
from serve_app.api.readiness import StoreProbe
from serve_app.api.responses import errors
from serve_app.api.routes import (
    admin_api_keys,
    admin_audit,
    admin_gallery,
    admin_generations,
    admin_ingestions,
    admin_jobs,
    admin_matching,
    admin_people,
    admin_schools,
    admin_settings,
    admin_system,
    admin_texts,
    admin_users,
    auth,
    babies,
    compute,
    config,
    connections,
    console_pages,
    console_sessions,
    face_search,
    health,
    inference,
    jobs,
    lookalikes,
    matches,
    messages,
    metrics,
    notifications,
    objects,
    presence,
    reactions,
    realtime,
    text_search,
    user_faces,
)
from serve_app.api.services import Services
from serve_app.ingestions import keep_continuing
from serve_app.limits import ReplicaLimits

DESCRIPTION = f"""\
Who looks like this face? Post a photo; get the face's attributes, its embedding, and its lookalikes.

Face-compute endpoints take the service API key as `Authorization: Bearer …`
(`semblance status` prints it, `semblance keys create` makes more).
Pictures: {ACCEPTED}.
"""


def create_app(settings: Settings, open_services: Callable[[], Awaitable[Services]]) -> FastAPI:
    """Build the application.

    Args:
        open_services: called at start, on the server's event loop. Its hub is started then; hub, baby maker
            and database are closed at the end.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services = app.state.services = await open_services()
        app.state.store_probe = StoreProbe(services.storage)
        app.state.copies = Copies(services.storage, services.faces)
        try:
            await services.hub.start()
            keeping = [
                asyncio.create_task(services.search.follow(services.model.digest)),
                asyncio.create_task(keep_sampling(services)),
                asyncio.create_task(keep_continuing(services.db.ingestions, services.ray_jobs)),
            ]
            yield
            for task in keeping:
                task.cancel()
            await services.hub.close()
        finally:
            await services.babies.close()
            await services.database.close()

    app = FastAPIOffline(
        title="Semblance",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        # Serve and `semblance.tracing` make the spans. FastAPI's own would show paths and queries, with ids
        # and tokens.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        # The operation's name in a generated client.
        generate_unique_id_function=lambda route: route.name,
        # What any operation may answer; some of these come from the gateway.
        responses=errors(400, 422, 429, 431, 500, 503),
    )
    app.state.limits = ReplicaLimits(settings)
    app.add_middleware(KnownPaths, app)
    app.add_middleware(RoutedMiddleware)
    # Inside of those that read cookies, which are added below.
    app.add_middleware(CookiesMiddleware)
    if settings.compat is not None:
        install_compat(app, settings)
    face_compute = APIRouter(dependencies=API_KEY)
    face_compute.include_router(compute.router)
    face_compute.include_router(lookalikes.router)
    # Any request may be a user's first, which can be refused.
    refusals = errors(401, 403, 409)
    # A request tries the routers in this order, so the most frequent come first. None is within another:
    # FastAPI looks for the route twice at each level, and each time for changes in all routers below.
    for topic in (
        *(matches, notifications, messages, connections, reactions, auth),
        *(admin_settings, admin_schools, admin_generations, admin_texts, admin_api_keys, admin_audit),
        *(admin_system, console_sessions),
        *(babies, config, inference, presence, text_search, jobs),
        *(admin_jobs, admin_matching, admin_people, admin_users, admin_gallery, admin_ingestions),
        *(realtime, user_faces),
    ):
        app.include_router(topic.router, prefix="/api", responses=refusals)
    app.include_router(health.router)
    app.include_router(metrics.router)
    app.include_router(face_compute)
    app.include_router(face_search.router)
    app.include_router(objects.router)
    app.include_router(console_pages.router)
    app.mount("/console", ConsoleFiles(settings))
    write_document_once(app)
    _add_middleware(app, settings)
    install_error_handlers(app)
    return app


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    """What wraps all routes; each wraps those before it."""
    app.add_middleware(DocsPolicyMiddleware)
    app.add_middleware(HeadMiddleware)
    app.add_middleware(BodyMiddleware)
    app.add_middleware(DeadlineMiddleware)
    app.add_middleware(AddressMiddleware)
    # After this one, so that every error has the request id and the headers for browsers.
    app.add_middleware(UnexpectedErrorMiddleware)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE"],
            # The last two are sent by Supabase's clients.
            allow_headers=[
                *("Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"),
                *("apikey", "x-client-info"),
            ],
            expose_headers=["X-Request-ID", "Retry-After"],
        )
    app.add_middleware(UnlistedOriginMiddleware, settings.cors_origins)
    app.add_middleware(AnswerHeadersMiddleware)
    app.add_middleware(MetricsMiddleware)
    app.add_middleware(RequestIdMiddleware)
