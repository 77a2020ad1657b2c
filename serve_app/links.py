"""Absolute, signed URLs of pictures, which an app of any origin can put into a page."""

from __future__ import annotations

from datetime import timedelta
from typing import overload

from db.messages import MessageType
from semblance.errors import BadInputError
from semblance.picture_tables import PictureTable
from semblance.settings import Settings
from semblance.storage.pictures import Rendition, rendition_key, shown_key
from semblance.storage.store import Storage


class Links:
    """Makes URLs for one client. base_url: where that client reaches the API."""

    def __init__(self, settings: Settings, storage: Storage, base_url: str) -> None:
        self._storage = storage
        self._base_url = base_url.rstrip("/")
        self._lifetime = timedelta(seconds=settings.picture_link_seconds)

    @overload
    def picture(self, key: str, table: PictureTable) -> str: ...

    @overload
    def picture(self, key: None, table: PictureTable) -> None: ...

    def picture(self, key: str | None, table: PictureTable) -> str | None:
        """The signed URL of the picture that a row of `table` names. A row may name a URL, as adopted rows
        do, which stays unchanged."""
        return None if key is None else self.link(key, table)

    def feed(self, key: str, table: PictureTable) -> str:
        """As `picture`, in the size for a feed, or of the picture itself if it has no such size."""
        return self.link(key, table, "feed")

    def thumbnail(self, key: str, table: PictureTable) -> str:
        """As `feed`, in the smallest size."""
        return self.link(key, table, "thumbnail")

    def message(self, content: str, message_type: MessageType) -> str:
        """The text of a message, or the URL of its picture. Adopted rows may hold anything, which stays
        unchanged."""
        if message_type != "image":
            return content
        try:
            # Of adopted pictures, only those of faces have keys; babies have URLs.
            return self.link(content, "faces")
        except BadInputError:
            return content

    def link(self, key: str, table: PictureTable, rendition: Rendition | None = None) -> str:
        """The URL of a picture, or of one of its smaller sizes."""
        if key.startswith(("https://", "http://")):
            return key
        key = shown_key(self._storage, table, key)
        url = self._storage.signed_url(
            key if rendition is None else rendition_key(key, rendition), self._lifetime
        )
        return self._base_url + url if url.startswith("/") else url
