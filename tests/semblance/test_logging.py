from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from semblance.logging import configure_logging, request_id_var
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


def test_text_lines_and_level(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_level="WARNING"))
    logging.getLogger("semblance.test").info("quiet")
    logging.getLogger("semblance.test").warning("loud")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "WARNING semblance.test [-] loud" in lines[0]
