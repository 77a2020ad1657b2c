"""The points of a Qdrant collection. Only this module knows qdrant-client, which is an extra."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ApiException

from batch.import_qdrant.points import Point
from semblance.errors import ConfigurationError, QdrantError

PAGE = 1000
"""Points of one request and rows of one transaction: 2 MB of vectors."""


class QdrantCollection:
    """A collection on a server, or in a folder of the client's local mode; a context manager."""

    def __init__(self, url: str, name: str, api_key: str | None = None) -> None:
        """url: `http(s)://…`, or a folder. Raises ConfigurationError if it is neither."""
        self.name = name
        if url.startswith(("http://", "https://")):
            self._client = QdrantClient(url=url, api_key=api_key, timeout=60)
        elif Path(url).is_dir():
            # Pages are read in threads; sqlite would accept only the one that opened it.
            self._client = QdrantClient(path=url, force_disable_check_same_thread=True)
        else:
            raise ConfigurationError(f"{url} is neither an http address nor a folder.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def count(self) -> int:
        """The number of points. Raises QdrantError."""
        with self._reading():
            return self._client.count(self.name).count

    def pages(self) -> Iterator[Sequence[Point]]:
        """All points, page by page. Raises QdrantError."""
        offset = None
        while True:
            with self._reading():
                page, offset = self._client.scroll(self.name, limit=PAGE, offset=offset, with_vectors=True)
            if page:
                yield [Point(str(point.id), point.payload or {}, point.vector) for point in page]
            if offset is None:
                return

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (ApiException, ValueError) as exc:
            reason = str(exc).strip().partition("\n")[0]
            raise QdrantError(f"The collection {self.name} cannot be read: {reason}") from exc
