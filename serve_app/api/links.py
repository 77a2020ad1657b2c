"""Absolute, signed URLs of pictures, as an app of another origin can put them into a page."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, overload

from fastapi import Depends
from starlette.requests import HTTPConnection

from db.messages import MessageType
from semblance.errors import BadInputError
from semblance.settings import Settings
from semblance.storage import PictureTable
from semblance.storage.pictures import Rendition, rendition_key, shown_key
from semblance.storage.store import Storage
from serve_app.api.services import services_of


class Links:
    """Makes URLs for one client; `base_url` is where that client reaches the API."""

    def __init__(self, settings: Settings, storage: Storage, base_url: str) -> None:
        self._storage = storage
        self._base_url = base_url.rstrip("/")
        self._lifetime = timedelta(seconds=settings.picture_link_seconds)

    @overload
    def picture(self, key: str, table: PictureTable) -> str: ...

    @overload
    def picture(self, key: None, table: PictureTable) -> None: ...

    def picture(self, key: str | None, table: PictureTable) -> str | None:
        """The signed URL of the picture that a row of `table` names; an address that is one already, as old
        rows hold, stays."""
        return None if key is None else self.link(key, table)

    def feed(self, key: str, table: PictureTable) -> str:
        """As `picture`, of its size for a feed; of the picture itself where it was stored without."""
        return self.link(key, table, "feed")

    def thumbnail(self, key: str, table: PictureTable) -> str:
        """As `feed`, of its smallest size."""
        return self.link(key, table, "thumbnail")

    def message(self, content: str, message_type: MessageType) -> str:
        """What a message says: of one with a picture its URL. Old rows may hold anything; it stays."""
        if message_type != "image":
            return content
        try:
            # Of the old system's pictures only faces are keys; its babies are addresses.
            return self.link(content, "faces")
        except BadInputError:
            return content

    def link(self, key: str, table: PictureTable, rendition: Rendition | None = None) -> str:
        """What the other methods give."""
        if key.startswith(("https://", "http://")):
            return key
        key = shown_key(self._storage, table, key)
        url = self._storage.signed_url(
            key if rendition is None else rendition_key(key, rendition), self._lifetime
        )
        return self._base_url + url if url.startswith("/") else url


async def get_links(connection: HTTPConnection) -> Links:
    """Links under `public_url`, or under the address the client called."""
    services = services_of(connection)
    settings = services.settings
    return Links(settings, services.storage, settings.public_url or str(connection.base_url))


InjectedLinks = Annotated[Links, Depends(get_links)]
