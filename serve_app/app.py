"""The Serve application: the one place where deployments are bound together.

`serve run serve_app.app:build_app`, `serve deploy serve_config.yaml` and `semblance up` all end here.
Replica counts and queue limits are in `serve_config.yaml`; settings come from the environment.
"""

from __future__ import annotations

from typing import Any, cast

import ray
from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp, Receive, Scope, Send

from db.pool import Database
from db.repositories import Repositories
from deployments.analyzer import Analyzer
from deployments.clients import FaceClient, MatcherClient, WriterClient
from deployments.detector import Detector
from deployments.embedder import Embedder
from deployments.faces.decoder import LazyDecoder
from deployments.matcher import Matcher
from deployments.message_limit import check_message_limit
from deployments.packs.registry import load_pack, load_scale
from deployments.replica import keep_for_good, starting
from deployments.scaling import BUSY, IDLE_CORES, OPEN_SOCKETS, BusyShare, IdleCores
from deployments.writer import Writer
from matching.celebrity_search import CelebritySearch
from semblance.errors import SemblanceError
from semblance.findings import require
from semblance.logging import configure_logging
from semblance.settings import get_settings
from semblance.storage.opening import open_storage
from serve_app.api.factory import create_app
from serve_app.api.services import Services
from serve_app.auth import TokenVerifier
from serve_app.babies.maker import open_baby_maker
from serve_app.direct_reads import DirectReads
from serve_app.face_uploads import FaceUploads
from serve_app.gone_clients import GoneClientMiddleware
from serve_app.preflight import BEFORE_DEPLOYMENT, BEFORE_SERVING
from serve_app.ray_jobs import RayJobs
from serve_app.realtime.hub import Hub


class AppArgs(BaseModel):
    """Arguments of the application. It has none yet, and refuses unknown ones."""

    model_config = ConfigDict(extra="forbid")


class API:
    """The HTTP API as the ingress deployment."""

    @starting()
    def __init__(
        self,
        detector: DeploymentHandle[Any],
        embedder: DeploymentHandle[Any],
        analyzer: DeploymentHandle[Any],
        matcher: DeploymentHandle[Any],
        writer: DeploymentHandle[Any],
    ) -> None:
        self._settings = get_settings()
        configure_logging(self._settings)
        check_message_limit(self._settings)
        require(self._settings, BEFORE_SERVING)
        pack = load_pack(self._settings)
        self._model, self._scale = pack.info, load_scale(self._settings, pack)
        self._faces = FaceClient(detector, embedder, analyzer)
        self._matcher = MatcherClient(matcher)
        self._writer = WriterClient(writer)
        self._hub: Hub | None = None
        self._busy: BusyShare | None = None
        self._idle = IdleCores()
        self._reads: ASGIApp | None = None

    def __serve_build_asgi_app__(self) -> ASGIApp:
        app = create_app(self._settings, self._open_services)
        app.add_middleware(GoneClientMiddleware)
        if self._settings.otlp_endpoint is not None:
            # Serve makes the spans, and finds the route for them.
            return app

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            await app(scope, receive, send)

        self._reads = app
        # From the application itself Serve would try the routes for each request. There are metrics of ours,
        # which have the route.
        return answer

    async def _open_services(self) -> Services:
        settings = self._settings
        database = await Database.connect(
            settings.required_database_url.get_secret_value(), pool_size=settings.database_pool_size
        )
        db, storage = Repositories.of(database), open_storage(settings)
        self._hub = Hub(settings, database, db, storage, self._scale)
        # The routes, too, which were made after the constructor.
        keep_for_good()
        self._busy = BusyShare()
        if self._reads is not None:
            DirectReads.open(self._reads)
        return Services(
            settings=settings,
            model=self._model,
            scale=self._scale,
            faces=self._faces,
            matcher=self._matcher,
            writer=self._writer,
            database=database,
            db=db,
            search=CelebritySearch(database, settings.home / "gallery"),
            storage=storage,
            tokens=TokenVerifier(settings),
            hub=self._hub,
            babies=open_baby_maker(settings, storage, self._faces, db, LazyDecoder(settings)),
            face_uploads=FaceUploads(settings, self._model, self._faces, storage, db),
            ray_jobs=RayJobs(settings, database),
        )

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Statistics of this replica, by which `deployments.scaling` decides. Called on the event loop."""
        return {
            OPEN_SOCKETS: float(self._hub.clients) if self._hub else 0.0,
            BUSY: self._busy.since_last() if self._busy else 0.0,
            IDLE_CORES: await self._idle.since_last(),
        }


def build_app(args: AppArgs) -> serve.Application:
    """Build the application. On a node of the cluster, where `serve deploy` builds it, the settings are
    checked first; `serve run` builds it in the terminal's process, whose environment the replicas do not
    have.

    Raises RayServeException with a sentence for each problem: Serve's status shows it unchanged, and any
    other exception as a traceback.
    """
    if ray.is_initialized():
        check_settings()
    return bind_app()


def check_settings() -> None:
    """Raises RayServeException, as `build_app` does."""
    try:
        require(get_settings(), BEFORE_DEPLOYMENT)
    except SemblanceError as exc:
        raise RayServeException(exc.message) from None


def bind_app() -> serve.Application:
    """Bind the deployments; their names are the ones `serve_config.yaml` configures."""
    faces = (
        _bind(Detector, name="Detector"),
        _bind(Embedder, name="Embedder"),
        _bind(Analyzer, name="Analyzer"),
    )
    workers = (_bind(Matcher, *faces, name="Matcher"), _bind(Writer, name="Writer"))
    return _bind(serve.ingress()(API), *faces, *workers, name="API")


def _bind(cls: type, *arguments: serve.Application, name: str) -> serve.Application:
    # Without a configuration, as under `serve run`, Serve would reserve a whole core for each deployment, and
    # wait forever if there are too few cores. Without a reservation it always fits.
    options = {"num_cpus": 0}
    # Ray types this call as a decorator, which it can also be.
    deployment = cast(serve.Deployment, serve.deployment(cls, name=name, ray_actor_options=options))
    return deployment.bind(*arguments)
