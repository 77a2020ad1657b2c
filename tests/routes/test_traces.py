"""What a trace shows of an upload and of its match job."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from semblance.otlp import tracing
from semblance.settings import Settings
from semblance.tracing import begin
from tests.support.api import Api
from tests.support.photos import OBAMA_2
from tests.support.receivers import Receiver, receiver
from tests.support.rows_chat import connect, want_texts
from tests.support.rows_faces import upload


@pytest.fixture
def collector() -> Iterator[Receiver]:
    with receiver() as received:
        yield received


def below(spans: dict[bytes, Span], span: Span) -> list[str]:
    """The names of all spans above one."""
    found = []
    while span.parent_span_id:
        span = spans[span.parent_span_id]
        found.append(span.name)
    return found


async def test_an_upload_and_its_match_job_are_traced_in_their_parts(api: Api, collector: Receiver) -> None:
    user = await api.member("ada")
    with tracing(Settings(otlp_endpoint=collector.url, trace_sampling=1)):
        with begin("request"):
            answer = await upload(api, user, OBAMA_2.read_bytes())
        (outcome,) = await api.services.matcher.process(1)
    assert (answer.status_code, outcome.status) == (202, "completed")
    spans = {span.span_id: span for span in collector.spans}
    roots = {span.name: span for span in spans.values() if not span.parent_span_id}
    assert set(roots) == {"POST /api/faces"}
    (job,) = (span for span in spans.values() if span.name == "match job")
    parents = {span.name: below(spans, span) for span in spans.values()}
    for name in ("detect", "embed", "analyze", "render", "store", "match job"):
        assert "POST /api/faces" in parents[name], name
    assert "match job" in parents["search gallery"]
    attributes = {each.key: each.value for each in job.attributes}
    assert attributes["job_id"].string_value == str(outcome.job_id)
    assert user.email.encode() not in b"".join(span.SerializeToString() for span in spans.values())


async def test_the_text_that_a_message_asks_for_belongs_to_its_trace(api: Api, collector: Receiver) -> None:
    ada, bob = await api.member("Ada"), await api.member("Bob", gender="male")
    connection = await connect(api.services.database, ada.id, bob.id)
    for user in (ada, bob):
        await api.client.patch("/api/auth/me", json={"text_generation": True}, headers=user.headers)
    await want_texts(api.services.database)
    with tracing(Settings(otlp_endpoint=collector.url, trace_sampling=1)):
        with begin("request"):
            body = {"connection_id": str(connection), "content": "Hello?"}
            asked = await api.client.post("/api/inference", json=body, headers=ada.headers)
        assert asked.status_code == 202, asked.text
        await api.services.writer.process(1)
    assert [span.name for span in collector.spans if not span.parent_span_id] == ["POST /api/inference"]
    (job,) = (span for span in collector.spans if span.name == "text")
    assert below({span.span_id: span for span in collector.spans}, job)[-1] == "POST /api/inference"
