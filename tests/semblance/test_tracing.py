"""Spans reach a collector, know their parents, and say nothing that a user wrote."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest
from opentelemetry import trace

from semblance.logging import configure_logging, job_id_var
from semblance.otlp import span_processors, tracing
from semblance.settings import Settings
from semblance.tracing import begin, describe, span, trace_id
from tests.support.receivers import Receiver, receiver


@pytest.fixture
def collector() -> Iterator[Receiver]:
    with receiver() as received:
        yield received


def settings(collector: Receiver, sampling: float = 1.0) -> Settings:
    return Settings(otlp_endpoint=collector.url, trace_sampling=sampling)


def test_spans_are_sent_with_their_parents_and_attributes(collector: Receiver) -> None:
    with tracing(settings(collector)), begin("match job", attempt=2), span("search"):
        found = trace_id()
    job, search = sorted(collector.spans, key=lambda each: each.start_time_unix_nano)
    assert (job.name, search.name) == ("match job", "search")
    assert search.parent_span_id == job.span_id
    assert search.trace_id == job.trace_id == bytes.fromhex(found or "")
    assert {each.key: each.value.int_value for each in job.attributes} == {"attempt": 2}


async def test_tasks_and_threads_belong_to_what_started_them(collector: Receiver) -> None:
    def work() -> None:
        with span("in a thread"):
            pass

    with tracing(settings(collector)), begin("request"):
        await asyncio.gather(asyncio.to_thread(work), asyncio.to_thread(work))
    first, second, request = sorted(collector.spans, key=lambda each: each.name)
    assert first.parent_span_id == second.parent_span_id == request.span_id


def test_an_error_is_named_without_its_message(collector: Receiver) -> None:
    with tracing(settings(collector)), pytest.raises(ValueError, match="ada"), begin("request"):
        raise ValueError("ada@mit.edu")
    (request,) = collector.spans
    assert request.status.code == request.status.STATUS_CODE_ERROR
    assert {each.key: each.value.string_value for each in request.attributes} == {"error.type": "ValueError"}
    assert b"ada" not in request.SerializeToString()


def test_what_serve_says_of_an_exception_is_left_out(collector: Receiver) -> None:
    """Its own spans have the message, as an event and as the description of the status."""
    with tracing(settings(collector)), begin("request"):
        current = trace.get_current_span()
        current.record_exception(ValueError("ada@mit.edu"))
        current.set_status(trace.Status(trace.StatusCode.ERROR, "ada@mit.edu"))
    (request,) = collector.spans
    assert request.status.code == request.status.STATUS_CODE_ERROR
    assert {each.key: each.value.string_value for each in request.attributes} == {"error.type": "ValueError"}
    assert b"ada" not in request.SerializeToString()


def test_a_span_may_be_named_when_its_route_is_known(collector: Receiver) -> None:
    with tracing(settings(collector)), begin("request"):
        describe("GET /ready", **{"http.route": "/ready"})
    assert [each.name for each in collector.spans] == ["GET /ready"]


def test_checks_of_the_gateway_are_left_out(collector: Receiver) -> None:
    with tracing(settings(collector)), begin("request"):
        describe("GET /health")
    assert collector.spans == []


def test_outside_of_a_trace_and_of_the_sample_nothing_is_recorded(collector: Receiver) -> None:
    with tracing(settings(collector)), span("poll"):
        assert trace_id() is None
    with tracing(settings(collector, sampling=0)), begin("request"), span("part"):
        assert trace_id() is None
    assert collector.spans == []


def test_without_an_endpoint_nothing_happens() -> None:
    with tracing(Settings()), begin("request"), span("part"):
        describe("GET /health")
        assert trace_id() is None


def test_serve_gets_no_processor_without_an_endpoint() -> None:
    assert span_processors() == []


@pytest.fixture
def _restore_root() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    # basicConfig closes what it replaces; pytest's own handlers must survive.
    root.handlers = []
    yield
    root.handlers, root.level = handlers, level


@pytest.mark.usefixtures("_restore_root")
def test_log_lines_name_job_and_trace(collector: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("semblance.test")
    for log_format in ("json", "text"):
        configure_logging(settings(collector).model_copy(update={"log_format": log_format}))
        token = job_id_var.set("job-1")
        with tracing(settings(collector)), begin("job"):
            logger.info("inside")
            found = trace_id()
        job_id_var.reset(token)
        logger.info("outside")
        inside, outside = capsys.readouterr().err.splitlines()
        if log_format == "json":
            assert json.loads(inside)["trace_id"] == found
            assert json.loads(inside)["job_id"] == "job-1"
            # Where Ray was imported, it adds something to every line.
            assert not json.loads(outside).keys() & {"trace_id", "job_id"}
        else:
            assert f"[- job_id=job-1 trace_id={found}] inside" in inside
            assert "[-] outside" in outside


@pytest.mark.usefixtures("_restore_root")
def test_all_lines_of_a_ray_job_have_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format="json"), ray_job="job-2")
    logging.getLogger("semblance.test").info("here")
    assert json.loads(capsys.readouterr().err)["job_id"] == "job-2"
