"""The gauges that no event changes: they are read every few seconds, and where no Ray keeps them, when they
are asked for."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path
from typing import Final

from semblance import __version__, metrics
from semblance.errors import SemblanceError
from serve_app.api.services import Services

logger = logging.getLogger(__name__)

EVERY_S: Final = 10.0
"""Ray forgets a gauge that has not been set for twice as long."""


async def sample(services: Services) -> None:
    """Read the gauges of this replica. Those of the queues are left out while the database does not
    answer."""
    metrics.BUILD.put(1, version=__version__, pack=services.model.pack)
    metrics.REALTIME_CLIENTS.put(services.hub.clients)
    disk = shutil.disk_usage(_existing(services.settings.home))
    metrics.DISK_FREE.put(disk.free)
    metrics.DISK_SIZE.put(disk.total)
    try:
        backlog = await services.db.jobs.backlog()
        texts = await services.db.inference_jobs.backlog()
    except SemblanceError as exc:
        logger.warning("cannot measure the queues now: %s", exc.message)
        return
    for each in backlog:
        metrics.QUEUE_JOBS.put(each.count, status=each.status)
        metrics.QUEUE_OLDEST.put(each.oldest_seconds, status=each.status)
    for each in texts:
        metrics.TEXT_JOBS.put(each.count, status=each.status)
        metrics.TEXT_JOBS_OLDEST.put(each.oldest_seconds, status=each.status)


async def keep_sampling(services: Services, every: float = EVERY_S) -> None:
    """Read the gauges until cancelled, first after `every` seconds."""
    while True:
        await asyncio.sleep(every)
        await sample(services)


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(each for each in (folder, *folder.parents) if each.exists())
