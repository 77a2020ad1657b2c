"""Absolute, signed URLs of pictures, which an app of any origin can put into a page."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple, overload

from db.messages import MessageType
from semblance.errors import BadInputError
from semblance.picture_tables import PictureTable
from semblance.settings import Settings
from semblance.storage.pictures import signed_picture
from semblance.storage.store import Storage


class PictureUrls(NamedTuple):
    """The URLs of a picture: of itself, and in the sizes for a feed and a thumbnail, or of itself if it has
    no such size."""

    full: str
    feed: str
    thumbnail: str


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
        """The signed URL of the picture that a row of `table` names, as in `renditions`."""
        return None if key is None else self.renditions(key, table).full

    def renditions(self, key: str, table: PictureTable) -> PictureUrls:
        """The signed URLs of the picture that a row of `table` names, and of its smaller sizes. A row may
        name a URL, as adopted rows do, which stays unchanged."""
        if key.startswith(("https://", "http://")):
            return PictureUrls(key, key, key)
        full, feed, thumbnail = signed_picture(self._storage, table, key, self._lifetime)
        if not full.startswith("/"):
            return PictureUrls(full, feed, thumbnail)
        base = self._base_url
        return PictureUrls(base + full, base + feed, base + thumbnail)

    def message(self, content: str, message_type: MessageType) -> str:
        """The text of a message, or the URL of its picture. Adopted rows may hold anything, which stays
        unchanged."""
        if message_type != "image":
            return content
        try:
            # Of adopted pictures, only those of faces have keys; babies have URLs.
            return self.picture(content, "faces")
        except BadInputError:
            return content
