"""What the routes work with: made once per API replica, handed to every request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from db.celebrities import Celebrities
from db.jobs import MatchJobs
from db.pool import Database
from deployments.clients import FaceClient
from semblance.settings import Settings
from semblance.storage import Storage
from semblance.types import ModelInfo


@dataclass(frozen=True, slots=True)
class Services:
    """The parts an API replica is composed of."""

    settings: Settings
    model: ModelInfo
    faces: FaceClient
    database: Database
    celebrities: Celebrities
    jobs: MatchJobs
    storage: Storage


async def get_services(request: Request) -> Services:
    """The replica's services, put on the app's state by its lifespan."""
    return cast(Services, request.app.state.services)


Injected = Annotated[Services, Depends(get_services)]
