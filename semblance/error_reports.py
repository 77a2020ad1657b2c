"""Errors that are logged are also reported to Sentry, if the settings name a project there."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from semblance import __version__
from semblance.logging import IDS
from semblance.redaction import redacted
from semblance.settings import Settings

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

_KEPT: Final = ("event_id", "timestamp", "platform", "release", "environment", "level", "logger", "sdk")

_KEPT_OF_FRAMES: Final = (
    "filename",
    "function",
    "module",
    "lineno",
    "pre_context",
    "context_line",
    "post_context",
    "in_app",
)


def report_errors(settings: Settings) -> None:
    """Report what this process logs as an error, and what ends it, if the settings name a project."""
    if settings.sentry_dsn is None:
        return
    # Imported here because it takes a tenth of a second, and most services have no Sentry.
    import sentry_sdk  # noqa: PLC0415
    from sentry_sdk.integrations.atexit import AtexitIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.dedupe import DedupeIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.logging import LoggingIntegration  # noqa: PLC0415

    sentry_sdk.init(
        dsn=settings.sentry_dsn.get_secret_value(),
        release=f"semblance@{__version__}",
        before_send=_cleaned,
        # None that looks at requests: they hold photos and tokens.
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            LoggingIntegration(level=None, event_level=logging.ERROR),
            ExcepthookIntegration(),
            DedupeIntegration(),
            # Sends what is left, without words in the terminal.
            AtexitIntegration(callback=lambda pending, timeout: None),
        ],
        include_local_variables=False,
        max_breadcrumbs=0,
        max_request_body_size="never",
        send_default_pii=False,
        send_client_reports=False,
        auto_session_tracking=False,
    )


def _cleaned(event: Event, hint: Hint) -> Event:
    """The event with nothing but what is known to be needed, its texts redacted like the log's."""
    given: Mapping[str, Any] = event
    kept: Event = {}
    clean: dict[str, Any] = kept  # type: ignore[assignment]  # It is built key by key.
    clean |= {key: given[key] for key in _KEPT if key in given}
    if record := hint.get("log_record"):
        clean["tags"] = {name: value for name in IDS if (value := getattr(record, name, "-")) != "-"}
    if entry := given.get("logentry"):
        texts = ("message", "formatted")
        clean["logentry"] = {key: redacted(str(entry[key])) for key in texts if entry.get(key)}
    if exceptions := given.get("exception"):
        clean["exception"] = {"values": [_exception(each) for each in exceptions["values"]]}
    return kept


def _exception(given: Mapping[str, Any]) -> dict[str, Any]:
    frames = (given.get("stacktrace") or {}).get("frames", ())
    return {
        "type": given.get("type"),
        "module": given.get("module"),
        "value": redacted(str(given.get("value") or "")),
        "stacktrace": {
            "frames": [{key: frame[key] for key in _KEPT_OF_FRAMES if key in frame} for frame in frames]
        },
    }
