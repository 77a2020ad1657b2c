from __future__ import annotations

from collections.abc import Iterator

import pytest
from ray.serve import context

from deployments.replica import serve_request_id
from semblance.logging import request_id_var


@pytest.fixture(autouse=True)
def _no_request() -> Iterator[None]:
    yield
    context._unset_request_context()  # type: ignore[no-untyped-call]
    context._set_batch_request_context([])


def test_outside_of_a_request_there_is_no_id() -> None:
    assert serve_request_id() == "-"


def test_the_id_that_serve_carries() -> None:
    context._set_request_context(request_id="abc-1")
    assert serve_request_id() == "abc-1"


def test_an_id_that_could_forge_a_line_is_left_out() -> None:
    context._set_request_context(request_id="1] all is well [2")
    assert serve_request_id() == "-"


def test_a_batch_has_the_ids_of_its_requests() -> None:
    requests = [context._RequestContext(request_id=name) for name in ("abc-1", "abc-2", "abc-1", "")]
    context._set_batch_request_context(requests)
    assert serve_request_id() == "abc-1,abc-2"


def test_without_serve_the_api_tells() -> None:
    token = request_id_var.set("abc-3")
    try:
        assert serve_request_id() == "abc-3"
    finally:
        request_id_var.reset(token)
