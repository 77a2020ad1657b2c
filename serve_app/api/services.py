"""What the routes work with: made once per API replica, handed to every request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from db.pool import Database
from db.repositories import Repositories
from deployments.clients import FaceClient, MatcherClient
from semblance.settings import Settings
from semblance.storage.store import Storage
from semblance.types import ModelInfo
from serve_app.auth import TokenVerifier
from serve_app.babies.maker import BabyMaker

if TYPE_CHECKING:
    # It makes links, which are made from services.
    from serve_app.realtime.hub import Hub


@dataclass(frozen=True, slots=True)
class Services:
    """The parts an API replica is composed of."""

    settings: Settings
    model: ModelInfo
    faces: FaceClient
    matcher: MatcherClient
    database: Database
    db: Repositories
    storage: Storage
    tokens: TokenVerifier
    hub: Hub
    babies: BabyMaker


def services_of(connection: HTTPConnection) -> Services:
    """The replica's services, put on the app's state by its lifespan."""
    return cast(Services, connection.app.state.services)


async def get_services(connection: HTTPConnection) -> Services:
    """As `services_of`, for routes of HTTP and WebSocket alike."""
    return services_of(connection)


Injected = Annotated[Services, Depends(get_services)]
