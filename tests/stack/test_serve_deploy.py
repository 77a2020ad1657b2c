from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ops.stack.keeper import Keeper
from ops.stack.serve_deploy import SERVE_CONFIG, ServiceChecks, read_config
from semblance.errors import ConfigurationError, NotReadyError
from tests.support.http_server import QuietHandler, serving
from tests.support.waiting import wait_for


def test_the_address_is_replaced_and_the_rest_kept() -> None:
    config = read_config(SERVE_CONFIG, "127.0.0.1", 12345)
    assert config["http_options"]["host"] == "127.0.0.1"
    assert config["http_options"]["port"] == 12345
    assert [app["import_path"] for app in config["applications"]] == ["serve_app.app:build_app"]


@pytest.mark.parametrize("content", ["a: [", "just words", "applications: []"])
def test_a_bad_file_is_refused_by_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=r"serve\.yaml"):
        read_config(file, "127.0.0.1", 1)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Cannot read"):
        read_config(tmp_path / "none.yaml", "127.0.0.1", 1)


@contextmanager
def answering(status: int, body: object) -> Iterator[str]:
    """The address of an API whose every answer is this one."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            self.reply(status, json.dumps(body).encode())

    with serving(Handler) as url:
        yield url


FAILING = {"database": "ok", "storage": "failed: The disk is full.", "queue": "failed: Read only."}


def test_a_failed_check_of_the_service_is_a_problem_since_it_was_seen() -> None:
    with answering(503, {"code": "not_ready", "checks": FAILING}) as url:
        keeper = Keeper(ServiceChecks(url), lambda: None, ask=0.01)
        keeper.start()
        wait_for(lambda: keeper.problem is not None)
        first = keeper.problem
        wait_for(lambda: keeper.problem is not None and "storage" in keeper.problem.text)
        keeper.close()
        keeper.join()
        assert first is not None
        assert keeper.problem is not None
        assert keeper.problem.text == "storage: The disk is full.; queue: Read only."
        assert keeper.problem.since == first.since
        with pytest.raises(NotReadyError, match="The disk is full"):
            ServiceChecks(url).start()


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, {"checks": {"database": "ok"}}), (503, {"code": "not_ready"}), (503, []), (502, "Bad Gateway")],
)
def test_a_service_that_is_well_or_does_not_answer_by_itself_has_none(status: int, body: object) -> None:
    with answering(status, body) as url:
        assert ServiceChecks(url).problem() is None
    assert ServiceChecks(url).problem() is None
