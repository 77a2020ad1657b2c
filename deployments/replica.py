"""What every deployment does when a replica starts."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from semblance.error_reports import report_errors
from semblance.errors import SemblanceError
from semblance.logging import SAFE_REQUEST_ID, configure_logging, request_id_var
from semblance.settings import Settings, get_settings

_NEW_OBJECTS = 10_000
"""How many objects are made before the garbage among them is looked for. By Python's default, 700, that took
3 to 5 % of the API's time."""

_request_id: ContextVar[str | None] = ContextVar("request_id_of_item", default=None)


@contextmanager
def for_request(request_id: str) -> Iterator[None]:
    """What runs inside is for the request with this id, of several in the same call."""
    token = _request_id.set(request_id)
    try:
        yield
    finally:
        _request_id.reset(token)


def configure_replica_logging(settings: Settings) -> None:
    """Log as the API does: every line has the id of its HTTP request."""
    configure_logging(settings, serve_request_id)


@contextmanager
def starting() -> Iterator[None]:
    """Wraps the constructor of a deployment: Ray exports its metrics, Sentry gets its errors, and a failure
    to start is reported in a sentence.

    Serve reports a failed constructor by its traceback. The process then ends, so suppressing tracebacks
    hides nothing else.
    """
    # Imported here for the reason below.
    from deployments.ray_metrics import export_to_ray  # noqa: PLC0415

    export_to_ray()
    try:
        report_errors(get_settings())
        yield
        keep_for_good()
    except SemblanceError:
        sys.tracebacklimit = 0
        raise


def keep_for_good() -> None:
    """Take all objects of now out of garbage collection. A replica keeps its modules, nets and routes until
    it ends, and each full collection would go through all of them between two requests.

    What remains is collected less often: a request makes up to thousands of objects, which mostly go without
    it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)


def serve_request_id() -> str:
    """The id of the current request, which Serve passes from the proxy through every handle.

    Of several requests in one call it is the first one's, except in `for_request`. "-" outside of a request,
    and for an id that could forge log lines.
    """
    # Imported here because Ray reads its settings on import, and commands set them after using the
    # deployments' classes. Serve has no public access to the id; its own log lines read it here.
    from ray.serve.context import _get_serve_request_context  # noqa: PLC0415

    given = _request_id.get() or _get_serve_request_context().request_id
    return given if SAFE_REQUEST_ID.fullmatch(given) else request_id_var.get()
