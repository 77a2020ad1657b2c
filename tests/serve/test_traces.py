"""One trace from the API through the deployments, passed on by Serve."""

from __future__ import annotations

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.photos import OBAMA_2
from tests.support.service import Service
from tests.support.waiting import wait_for

pytestmark = pytest.mark.ray

FORGED = "ab" * 16


def parts(service: Service, request_id: str) -> list[Span]:
    """The spans of the trace of a request."""
    assert service.collector is not None
    spans = service.collector.spans
    traces = {
        span.trace_id
        for span in spans
        for attribute in span.attributes
        if attribute.key == "request_id" and attribute.value.string_value == request_id
    }
    return [span for span in spans if span.trace_id in traces]


def test_a_request_is_one_trace_in_all_deployments(service: Service, http: httpx.Client) -> None:
    answer = http.post(
        "/analyze-faces",
        files={"file": ("a.jpg", OBAMA_2.read_bytes())},
        headers={"traceparent": f"00-{FORGED}-{'cd' * 8}-01"},
    )
    assert answer.status_code == 200, answer.text
    request_id = answer.headers["X-Request-ID"]
    wanted = {"POST /analyze-faces", "decode", "detect", "embed", "analyze"}
    wait_for(lambda: wanted <= {span.name for span in parts(service, request_id)})
    (trace,) = {span.trace_id.hex() for span in parts(service, request_id)}
    assert trace != FORGED, "a client chose the trace"
    [answered] = [span for span in parts(service, request_id) if span.name == "POST /analyze-faces"]
    routes = {each.value.string_value for each in answered.attributes if each.key == "http.route"}
    assert routes == {"/analyze-faces"}
