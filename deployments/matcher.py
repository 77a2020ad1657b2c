"""The match worker as a Serve deployment."""

from __future__ import annotations

from typing import Any

from ray.serve.handle import DeploymentHandle

from deployments.clients import FaceClient
from deployments.packs.registry import load_pack
from deployments.queue_replica import QueueReplica
from deployments.replica import configure_replica_logging, starting
from matching.worker import MatchWorker
from semblance.cores import give_way
from semblance.settings import get_settings
from semblance.storage.opening import open_storage


class Matcher(QueueReplica[MatchWorker]):
    """Works on match jobs."""

    @starting()
    def __init__(
        self,
        detector: DeploymentHandle[Any],
        embedder: DeploymentHandle[Any],
        analyzer: DeploymentHandle[Any],
    ) -> None:
        """Called by Serve on the replica's event loop."""
        give_way()
        settings = get_settings()
        configure_replica_logging(settings)
        model, faces = load_pack(settings).info, FaceClient(detector, embedder, analyzer)
        super().__init__(
            settings,
            lambda database: MatchWorker(database, open_storage(settings), faces, model, settings),
        )

    async def check(self) -> str:
        """Return "ok" once the worker works."""
        self._ready()
        return "ok"
