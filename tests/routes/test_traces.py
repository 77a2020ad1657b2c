"""What a trace shows of an upload and of its match job."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from semblance.otlp import tracing
from semblance.settings import Settings
from semblance.tracing import begin
from tests.support.api import Api
from tests.support.photos import OBAMA_2
from tests.support.receivers import Receiver, receiver
from tests.support.rows_faces import upload


@pytest.fixture
def collector() -> Iterator[Receiver]:
    with receiver() as received:
        yield received


async def test_an_upload_and_its_match_job_are_traced_in_their_parts(api: Api, collector: Receiver) -> None:
    user = await api.member("ada")
    with tracing(Settings(otlp_endpoint=collector.url, trace_sampling=1)):
        with begin("request"):
            answer = await upload(api, user, OBAMA_2.read_bytes())
        (outcome,) = await api.services.matcher.process(1)
    assert (answer.status_code, outcome.status) == (202, "completed")
    spans = {span.span_id: span for span in collector.spans}
    roots = {span.name: span for span in spans.values() if not span.parent_span_id}
    assert set(roots) == {"POST /api/faces", "match job"}
    names = {
        root: {span.name for span in spans.values() if span.trace_id == roots[root].trace_id}
        for root in roots
    }
    assert {"detect", "embed", "analyze", "render", "store", "transaction"} <= names["POST /api/faces"]
    assert {"search gallery", "transaction"} <= names["match job"]
    attributes = {each.key: each.value for each in roots["match job"].attributes}
    assert attributes["job_id"].string_value == str(outcome.job_id)
    assert user.email.encode() not in b"".join(span.SerializeToString() for span in spans.values())
