"""What Sentry gets of an error, and what it must never get."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.receivers import Receiver, receiver
from tests.support.waiting import PATIENCE_S

# Secrets and people come as arguments, since a report has the lines of the program around an error.
PROGRAM = """
import logging, sys
from semblance.error_reports import report_errors
from semblance.logging import configure_logging, request_id_var
from semblance.settings import Settings

settings = Settings()
configure_logging(settings)
report_errors(settings)
request_id_var.set("abc-1")
ada, bob, password = sys.argv[1:]

def work(photo):
    raise RuntimeError(f"no answer for {photo} at postgresql://app:{password}@db/x")

logging.getLogger("semblance.test").info("%s came", ada)
try:
    work(ada)
except RuntimeError:
    logging.getLogger("semblance.test").exception("upload of %s failed", ada)
work(bob)
"""


def run(received: Receiver, program: Path) -> list[dict[str, Any]]:
    """The events of a process, which has its own hooks into logging."""
    program.write_text(PROGRAM)
    address = received.url.removeprefix("http://")
    subprocess.run(
        [sys.executable, program, "ada@mit.edu", "bob@mit.edu", "hunter22"],
        env={"SEMBLANCE_SENTRY_DSN": f"http://public@{address}/1", "SECRET_OF_THE_SHELL": "sesame-1"},
        check=False,
        stderr=subprocess.DEVNULL,
        timeout=PATIENCE_S,
    )
    return list(received.events)


def test_errors_are_reported_without_secrets_people_or_variables(tmp_path: Path) -> None:
    with receiver() as received:
        logged, crashed = run(received, tmp_path / "program.py")
    assert logged["tags"] == {"request_id": "abc-1"}
    assert logged["logger"] == "semblance.test"
    assert logged["logentry"]["formatted"] == "upload of [redacted] failed"
    (exception,) = logged["exception"]["values"]
    assert exception["type"] == "RuntimeError"
    assert exception["value"] == "no answer for [redacted] at postgresql://[redacted]@db/x"
    frames = exception["stacktrace"]["frames"]
    assert [frame["function"] for frame in frames] == ["<module>", "work"]
    assert frames[0]["context_line"] == "    work(ada)"
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
