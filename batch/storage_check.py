"""Whether the picture store answers, asked before hours of work."""

from __future__ import annotations

from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.storage.store import Storage

_EMPTY_FOLDER = "probe"
"""Listed, and always empty."""


async def open_answering_storage(settings: Settings) -> Storage:
    """The picture store of the settings. Raises StorageError if it does not answer or its bucket does not
    exist."""
    storage = open_storage(settings)
    await storage.keys(_EMPTY_FOLDER)
    return storage
