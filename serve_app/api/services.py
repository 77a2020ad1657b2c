"""What the routes work with: made once for each API replica, and given to every request."""

from __future__ import annotations

from dataclasses import dataclass

from db.pool import Database
from db.repositories import Repositories
from deployments.clients import FaceClient, MatcherClient, WriterClient
from deployments.packs.calibration import SimilarityScale
from matching.celebrity_search import CelebritySearch
from semblance.settings import Settings
from semblance.storage.store import Storage
from semblance.types import ModelInfo
from serve_app.auth import TokenVerifier
from serve_app.babies.maker import BabyMaker
from serve_app.face_uploads import FaceUploads
from serve_app.ray_jobs import RayJobs
from serve_app.realtime.hub import Hub


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of an API replica."""

    settings: Settings
    model: ModelInfo
    scale: SimilarityScale
    faces: FaceClient
    matcher: MatcherClient
    writer: WriterClient
    database: Database
    db: Repositories
    search: CelebritySearch
    storage: Storage
    tokens: TokenVerifier
    hub: Hub
    babies: BabyMaker
    face_uploads: FaceUploads
    ray_jobs: RayJobs
