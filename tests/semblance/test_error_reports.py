"""What Sentry gets of an error, and what it must never get."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

from tests.support.receivers import Receiver, receiver
from tests.support.waiting import PATIENCE_S

PROGRAM = """
import logging, sys
from semblance.error_reports import report_errors
from semblance.logging import configure_logging, request_id_var
from semblance.settings import Settings

settings = Settings()
configure_logging(settings)
report_errors(settings)
request_id_var.set("abc-1")

def work(photo):
    raise RuntimeError(f"no answer for {photo} at postgresql://app:hunter22@db/x")

logging.getLogger("semblance.test").info("ada@mit.edu came")
try:
    work("ada@mit.edu")
except RuntimeError:
    logging.getLogger("semblance.test").exception("upload of %s failed", "ada@mit.edu")
if "crash" in sys.argv:
    work("bob@mit.edu")
"""


def run(received: Receiver, *arguments: str) -> list[dict[str, Any]]:
    """The events of a process, which has its own hooks into logging."""
    address = received.url.removeprefix("http://")
    subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={"SEMBLANCE_SENTRY_DSN": f"http://public@{address}/1", "SECRET_OF_THE_SHELL": "sesame-1"},
        check=False,
        stderr=subprocess.DEVNULL,
        timeout=PATIENCE_S,
    )
    return list(received.events)


def test_errors_are_reported_without_secrets_people_or_variables() -> None:
    with receiver() as received:
        logged, crashed = run(received, "crash")
    assert logged["tags"] == {"request_id": "abc-1"}
    assert logged["logger"] == "semblance.test"
    assert logged["logentry"]["formatted"] == "upload of [redacted] failed"
    (exception,) = logged["exception"]["values"]
    assert exception["type"] == "RuntimeError"
    assert exception["value"] == "no answer for [redacted] at postgresql://[redacted]@db/x"
    assert [frame["function"] for frame in exception["stacktrace"]["frames"]] == ["<module>", "work"]
    assert crashed["exception"]["values"][0]["type"] == "RuntimeError"
    assert logged["release"].startswith("semblance@")
    for secret in ("mit.edu", "hunter22", "sesame-1", "vars", 'request"', "breadcrumbs", "server_name"):
        assert secret not in json.dumps([logged, crashed]), secret


def test_without_a_project_nothing_is_changed() -> None:
    before = logging.Logger.callHandlers
    from semblance.error_reports import report_errors
    from semblance.settings import Settings

    report_errors(Settings())
    assert logging.Logger.callHandlers is before
