"""The HTTP API in the test's own process: real database, real models, real storage; only Serve is left out.

What Serve itself adds is tested on the running stack (`tests/serve`).
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import ClassVar

import httpx
import jwt
import numpy as np
import pytest
from fastapi import FastAPI
from numpy.typing import NDArray
from pydantic import SecretStr

from db.pool import Database
from db.repositories import Repositories
from db.text_embeddings import TextVector
from deployments.clients import FaceClient, MatcherClient, WriterClient
from deployments.faces.pipeline import LocalPipeline
from deployments.packs.registry import load_scale
from deployments.text_queue import TextQueue
from deployments.text_vectors.embedders import TextEmbedder, open_embedder
from deployments.writing.opening import open_writer
from matching.celebrity_search import CelebritySearch
from matching.worker import MatchWorker
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.storage.pictures import StoredPicture
from semblance.types import AnalyzedFace, Detection, Image, JobOutcome, ModelInfo
from serve_app.api.factory import create_app
from serve_app.api.services import Services
from serve_app.auth import TokenVerifier
from serve_app.babies.maker import open_baby_maker
from serve_app.face_uploads import FaceUploads
from serve_app.limits import ReplicaLimits
from serve_app.ray_jobs import RayJobs
from serve_app.realtime.hub import Hub
from tests.support.decoders import shared_decoder
from tests.support.reused_database import ReusedDatabase

API_KEY = "smb_test-key"
CRON_SECRET = "test-cron-secret"
JWT_SECRET = "test-secret-of-at-least-thirty-two-bytes"


class LocalFaces(FaceClient):
    """The face client's methods on nets in this process, without handles."""

    def __init__(self, pipeline: LocalPipeline) -> None:
        self._pipeline = pipeline

    def checks(self, expected: ModelInfo) -> dict[str, Awaitable[str]]:
        async def ok() -> str:
            return "ok" if expected == self._pipeline.model else "failed: another pack"

        return {"models": ok()}

    async def detect(self, data: bytes, max_faces: int | None = None, *, counted: bool = True) -> Detection:
        return await asyncio.to_thread(self._pipeline.finder.detect, data, max_faces, counted=counted)

    async def render(self, data: bytes) -> StoredPicture:
        return await asyncio.to_thread(self._pipeline.finder.render, data)

    async def embed(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        return await asyncio.to_thread(self._pipeline.embed, crops)

    async def analyze_photo(
        self, data: bytes, max_faces: int | None = None, *, counted: bool = True
    ) -> tuple[Detection, list[AnalyzedFace]]:
        return await asyncio.to_thread(self._pipeline.analyze_photo, data, max_faces, counted=counted)


class LocalMatcher(MatcherClient):
    """The matcher's methods on a worker in this process, which works on demand."""

    def __init__(self, worker: MatchWorker) -> None:
        self._worker = worker

    async def check(self) -> str:
        return "ok"

    async def process(self, limit: int) -> list[JobOutcome]:
        return await self._worker.process(limit)


class LocalTexts(WriterClient):
    """The writer's methods on a worker in this process, which works on demand."""

    def __init__(self, worker: TextQueue) -> None:
        self._worker = worker

    async def vector(self, text: str) -> TextVector:
        return await self._worker.vector(text)

    async def process(self, limit: int) -> list[JobOutcome]:
        return await self._worker.process(limit)


@dataclass(frozen=True, slots=True)
class User:
    """A user with a token. The first request creates the profile."""

    id: uuid.UUID
    email: str
    headers: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Api:
    """The application and its parts, so that a test can look behind it."""

    app: FastAPI
    client: httpx.AsyncClient
    services: Services
    owner: Database
    """With the rights of the database's owner, for changes that the application may not make."""
    dsn: str
    """Also with the owner's rights."""

    def user(self, email: str | None = None) -> User:
        """A new user, at a new school unless the e-mail says otherwise."""
        subject = uuid.uuid4()
        email = email or f"{subject.hex[:8]}@school-{subject.hex[:4]}.edu"
        return User(subject, email, {"Authorization": f"Bearer {make_token(subject, email)}"})

    async def member(
        self, name: str, *, school: str = "mit", gender: str = "female", role: str = "user"
    ) -> User:
        """A user with a complete profile."""
        user = self.user(f"{name}-{uuid.uuid4().hex[:8]}@{school}.edu")
        await self.owner.execute(
            """
            INSERT INTO profiles (id, profile_type, email, name, gender, school, role)
            VALUES ($1, 'user', $2, $3, $4, $5, $6)
            """,
            user.id, user.email, name, gender, school, role,
        )  # fmt: skip
        return user


def make_token(subject: uuid.UUID, email: str, **claims: object) -> str:
    """An access token as Supabase signs it with the project's secret."""
    content = {
        "sub": str(subject),
        "email": email,
        "aud": "authenticated",
        "role": "authenticated",
        "exp": int(time.time()) + 3600,
        **claims,
    }
    return jwt.encode(content, JWT_SECRET, algorithm="HS256")


@pytest.fixture(scope="session")
def pipeline() -> LocalPipeline:
    """The open pack's nets, loaded once."""
    return LocalPipeline(Settings())


@cache
def _usual_settings() -> Settings:
    """Made once, because looking for each setting in the environment takes 2 ms."""
    return Settings(
        api_key=SecretStr(API_KEY),
        cron_secret=SecretStr(CRON_SECRET),
        jwt_secret=SecretStr(JWT_SECRET),
        database_pool_size=8,
    )


@pytest.fixture
def api_settings(service_dsn: str, tmp_path: Path) -> Settings:
    """Settings of the API under test; override the fixture to change one."""
    return _usual_settings().model_copy(
        update={"home": tmp_path / "home", "database_url": SecretStr(service_dsn)}
    )


@cache
def _text_pack(folder: Path | None) -> TextEmbedder:
    """Loaded once: that takes longer than most tests."""
    return open_embedder(Settings(text_pack=folder))


def _open_texts(database: Database, settings: Settings) -> TextQueue:
    is_pack = settings.text_embedding_model is None
    embedder = _text_pack(settings.text_pack) if is_pack else open_embedder(settings)
    return TextQueue(database, *open_writer(settings), embedder, settings)


class ReusableApp:
    """An application reused by many tests: building one takes longer than most tests."""

    _built: ClassVar[dict[tuple[object, ...], ReusableApp]] = {}

    def __init__(self, settings: Settings) -> None:
        self.open_services: Callable[[], Awaitable[Services]] | None = None
        self.app = create_app(settings, self._open)
        self._routes = len(self.app.routes)

    @classmethod
    def of(cls, settings: Settings) -> ReusableApp:
        """One built with these settings, without the routes that tests have added to it."""
        key = (settings.cors_origins, settings.compat, settings.public_url, settings.supabase_url)
        known = cls._built.get(key)
        if known is None:
            known = cls._built[key] = cls(settings)
        app = known.app
        if len(app.routes) > known._routes:
            del app.router.routes[known._routes :]
            app.openapi_schema = None
        app.state.limits = ReplicaLimits(settings)
        return known

    async def _open(self) -> Services:
        assert self.open_services is not None
        return await self.open_services()


@pytest.fixture
async def api(
    reused_database: ReusedDatabase, api_settings: Settings, pipeline: LocalPipeline
) -> AsyncIterator[Api]:
    """The API over HTTP, on a database and a store for this test."""

    async def open_services() -> Services:
        database = await reused_database.pool(
            api_settings.required_database_url.get_secret_value(), api_settings.database_pool_size
        )
        db, storage = Repositories.of(database), open_storage(api_settings)
        faces = LocalFaces(pipeline)
        scale = load_scale(api_settings, pipeline.pack)
        return Services(
            settings=api_settings,
            model=pipeline.model,
            scale=scale,
            faces=faces,
            matcher=LocalMatcher(MatchWorker(database, storage, faces, pipeline.model, api_settings)),
            writer=LocalTexts(_open_texts(database, api_settings)),
            database=database,
            db=db,
            search=CelebritySearch(database),
            storage=storage,
            tokens=TokenVerifier(api_settings),
            hub=Hub(api_settings, database, db, storage, scale),
            babies=open_baby_maker(api_settings, storage, faces, db, shared_decoder(api_settings)),
            face_uploads=FaceUploads(api_settings, pipeline.model, faces, storage, db),
            ray_jobs=RayJobs(api_settings, database),
        )

    reusable = ReusableApp.of(api_settings)
    reusable.open_services = open_services
    app = reusable.app
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://api", timeout=60, trust_env=False
        ) as client:
            owner = await reused_database.pool(reused_database.dsn, 2)
            yield Api(app, client, app.state.services, owner, reused_database.dsn)


@pytest.fixture
async def ada(api: Api) -> User:
    return await api.member("Ada")


@pytest.fixture
async def bob(api: Api) -> User:
    return await api.member("Bob", gender="male")
