"""What all deployments do when a replica starts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from semblance.errors import SemblanceError
from semblance.logging import SAFE_REQUEST_ID, configure_logging, request_id_var
from semblance.settings import Settings


def configure_replica_logging(settings: Settings) -> None:
    """Log as the API does, every line with the id of the HTTP request it is about."""
    configure_logging(settings, serve_request_id)


@contextmanager
def starting() -> Iterator[None]:
    """Around the constructor of a deployment: one that cannot start says why in a sentence.

    Serve reports a failed constructor by its traceback, and has no other way. The process ends with it, so
    that nothing else in it is short of tracebacks.
    """
    try:
        yield
    except SemblanceError:
        sys.tracebacklimit = 0
        raise


def serve_request_id() -> str:
    """The id of the request the caller works for, as Serve carries it from the proxy through every handle.

    A batch has the ids of all its requests, separated by commas; "-" outside of a request, and for an id that
    could forge log lines.
    """
    # Here, because Ray reads its settings when it is imported, and commands set them after they have used
    # the deployments' classes. Serve has no public way to the id; its own log lines take it from here.
    from ray.serve.context import (  # noqa: PLC0415
        _get_serve_batch_request_context,
        _get_serve_request_context,
    )

    batch = _get_serve_batch_request_context()  # type: ignore[no-untyped-call]
    contexts = batch or [_get_serve_request_context()]
    given = (context.request_id for context in contexts)
    ids = dict.fromkeys(name for name in given if SAFE_REQUEST_ID.fullmatch(name))
    return ",".join(ids) or request_id_var.get()
