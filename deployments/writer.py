"""The worker of texts as a Serve deployment."""

from __future__ import annotations

from db.text_embeddings import TextVector
from deployments.queue_replica import QueueReplica
from deployments.replica import configure_replica_logging, starting
from deployments.text_queue import TextQueue
from deployments.text_vectors.embedders import open_embedder
from deployments.writing.opening import open_writer
from semblance.cores import give_way
from semblance.settings import get_settings


class Writer(QueueReplica[TextQueue]):
    """Works on texts to write and texts to embed."""

    @starting()
    def __init__(self) -> None:
        """Called by Serve on the replica's event loop."""
        give_way()
        settings = get_settings()
        configure_replica_logging(settings)
        opened = (*open_writer(settings), open_embedder(settings))
        super().__init__(settings, lambda database: TextQueue(database, *opened, settings))

    async def vector(self, text: str) -> TextVector:
        """What a text means, by the model in use."""
        return await self._ready().vector(text)
