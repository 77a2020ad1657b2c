from __future__ import annotations

import builtins
import errno
import json
import logging
import sys
from collections.abc import Iterator
from io import StringIO
from typing import Literal

import pytest
from ray.serve._private.logging_utils import StreamToLogger, redirected_print

from semblance.logging import configure_logging, request_id_var
from semblance.redaction import redacted
from semblance.settings import Settings


@pytest.fixture(autouse=True)
def _restore_root() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    # basicConfig closes what it replaces; pytest's own handlers must survive.
    root.handlers = []
    yield
    root.handlers, root.level = handlers, level


def test_json_lines_carry_request_id_extras_and_exception(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format="json"))
    token = request_id_var.set("abc-1")
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        logging.getLogger("semblance.test").exception("went %s", "wrong", extra={"faces": 2})
    finally:
        request_id_var.reset(token)
    line = json.loads(capsys.readouterr().err)
    assert line["message"] == "went wrong"
    assert line["request_id"] == "abc-1"
    assert line["faces"] == 2
    assert line["level"] == "ERROR"
    assert "ZeroDivisionError" in line["exception"]
    assert line["time"].endswith("+00:00")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_an_exception_is_written_in_lines_where_serve_replaced_print(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, log_format: Literal["text", "json"]
) -> None:
    configure_logging(Settings(log_format=log_format))
    monkeypatch.setattr(builtins, "print", redirected_print)
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        logging.getLogger("semblance.test").exception("went wrong")
    written = capsys.readouterr().err
    if log_format == "json":
        written = f"went wrong\n{json.loads(written)['exception']}\n"
    first, begin, place, *_, last = written.splitlines()
    assert (first.endswith("went wrong"), begin) == (True, "Traceback (most recent call last):")
    assert (place.startswith(f'  File "{__file__}"'), last) == (True, "ZeroDivisionError: division by zero")
    assert not written.endswith("\n\n")


def test_text_lines_and_level(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_level="WARNING"))
    logging.getLogger("semblance.test").info("quiet")
    logging.getLogger("semblance.test").warning("loud")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "WARNING semblance.test [-] loud" in lines[0]


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("eyJhbGciOi.eyJzdWIiOi.c2ln-_x", "refused eyJhbGciOi.eyJzdWIiOi.c2ln-_x today"),
        ("smb_abc", "headers: {'authorization': 'Bearer smb_abc'}"),
        ("abc", "GET /objects/a.jpg?expires=17&signature=abc HTTP/1.1"),
        ("abc", "GET /api/realtime?token=abc&since=1"),
        ("ada:word", "cannot reach postgresql://ada:word@db.example/semblance"),
        ("ada.l+x@mit.edu", "Key (email)=(ada.l+x@mit.edu) already exists."),
        ("0.25, -0.1", "[" + ", ".join(["0.25", "-0.1", "1.5e-05"] * 4) + "]"),
        ("0.25 -0.1", "array([" + " ".join(["0.25", "-0.1"] * 6) + "])"),
    ],
)
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_secrets_in_messages_of_libraries_are_removed(
    capsys: pytest.CaptureFixture[str], secret: str, text: str, log_format: Literal["text", "json"]
) -> None:
    configure_logging(Settings(log_format=log_format))
    error = RuntimeError(text)
    logging.getLogger("other").error("failed: %s", text, exc_info=error, extra={"context": {"it": text}})
    output = capsys.readouterr().err
    assert secret not in output
    assert "[redacted]" in output
    assert "RuntimeError" in output
    if log_format == "json":
        json.loads(output)


@pytest.mark.parametrize(
    "text",
    [
        "3 faces in 0.125 s, 0.5 s, 1.5 s",
        "http://127.0.0.1:8000/health?limit=3",
        "box [1.5, 2.5, 3.5, 4.5]",
        "token expired, signature wrong",
    ],
)
def test_other_text_is_kept(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize("name", ["httpx", "httpcore.connection", "PIL.TiffImagePlugin", "websockets.server"])
def test_verbose_libraries_are_silenced(capsys: pytest.CaptureFixture[str], name: str) -> None:
    configure_logging(Settings(log_level="DEBUG"))
    logging.getLogger(name).info("GET /objects/a.jpg?signature=abc")
    assert capsys.readouterr().err == ""


def test_a_process_may_set_its_own_source_of_request_ids(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(), lambda: "abc-2")
    logging.getLogger("semblance.test").info("here")
    assert "[abc-2] here" in capsys.readouterr().err


class FullDisk(StringIO):
    def write(self, _: str, /) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_log_on_a_full_disk_fails_nothing_in_a_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", True)
    log = logging.Logger("of the replica")
    log.addHandler(logging.StreamHandler(FullDisk()))
    monkeypatch.setattr(sys, "stderr", StreamToLogger(log, logging.INFO, sys.stderr))
    configure_logging(Settings())
    logging.getLogger("semblance.example").error("the picture store is full")
