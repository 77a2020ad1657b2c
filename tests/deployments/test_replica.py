from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator

import pytest
from ray.serve import context

from deployments.replica import for_request, serve_request_id, starting
from ops.stack.serve_deploy import _reason
from semblance.errors import ConfigurationError
from semblance.logging import request_id_var


@pytest.fixture(autouse=True)
def _no_request() -> Iterator[None]:
    yield
    context._unset_request_context()  # type: ignore[no-untyped-call]


def test_outside_a_request_there_is_no_id() -> None:
    assert serve_request_id() == "-"


def test_the_id_carried_by_serve_is_used() -> None:
    context._set_request_context(request_id="abc-1")
    assert serve_request_id() == "abc-1"


def test_an_id_that_could_forge_a_line_is_left_out() -> None:
    context._set_request_context(request_id="1] all is well [2")
    assert serve_request_id() == "-"


def test_each_of_several_requests_in_a_call_has_its_id() -> None:
    context._set_request_context(request_id="abc-1")
    with for_request("abc-2"):
        assert serve_request_id() == "abc-2"
    with for_request("1] all is well [2"):
        assert serve_request_id() == "-"
    assert serve_request_id() == "abc-1"


def test_without_serve_the_api_sets_the_id() -> None:
    token = request_id_var.set("abc-3")
    try:
        assert serve_request_id() == "abc-3"
    finally:
        request_id_var.reset(token)


def test_a_replica_that_cannot_start_says_why_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve reports the traceback as this process formats it."""
    monkeypatch.setattr(sys, "tracebacklimit", 1000, raising=False)

    class Deployment:
        @starting()
        def __init__(self) -> None:
            raise ConfigurationError("SEMBLANCE_PACK=x does not load: unset it.\nSEMBLANCE_PORT=1 is taken.")

    try:
        Deployment()
    except ConfigurationError:
        reported = f"Replica failed. Error:\n{traceback.format_exc()}\nRetrying."
    assert "File " not in reported
    application = {"status": "DEPLOY_FAILED", "message": "", "deployments": {"One": {"message": reported}}}
    assert _reason(application) == ("SEMBLANCE_PACK=x does not load: unset it.\nSEMBLANCE_PORT=1 is taken.")


def test_another_failure_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "tracebacklimit", 1000, raising=False)
    with pytest.raises(ZeroDivisionError), starting():
        raise ZeroDivisionError
    assert sys.tracebacklimit == 1000
