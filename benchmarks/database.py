"""A database for one benchmark: the embedded server in a folder that goes away, migrated and empty."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from db.migrate import upgrade
from ops.stack.embedded import EmbeddedPostgres


@contextmanager
def scratch_database() -> Iterator[str]:
    """The DSN of a server that lives as long as the context."""
    with tempfile.TemporaryDirectory(prefix="semblance-benchmark-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        try:
            dsn = server.start()
            upgrade(dsn)
            yield dsn
        finally:
            server.stop()
