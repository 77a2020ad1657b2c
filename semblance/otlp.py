"""Spans are sent to an OpenTelemetry collector, by OTLP over HTTP.

Ray Serve passes the current trace from deployment to deployment and makes the spans of requests. In its
processes it asks `span_processors` where to send them (`tracing_config` of its configuration). All other
processes use `tracing`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_SERVICE_NAME
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from semblance import __version__
from semblance.settings import Settings, get_settings
from semblance.tracing import Attribute, trace_with

EXPORTER: Final = f"{__name__}:span_processors"
"""What Serve's `exporter_import_path` has to be."""

_NAME: Final = "semblance"
_EVERY_MS: Final = 1000
"""How long spans wait to be sent together; a process that is killed loses as much."""
_TIMEOUT_S: Final = 5.0
_CHECK: Final = "GET /health"

_W3C: Final = TraceContextTextMapPropagator()
_TRACEPARENT: Final = "traceparent"


def span_processors() -> list[SpanProcessor]:
    """Called by Serve, before it makes its tracer, in each of its processes that is to trace. Also starts
    the spans of this project there. Without an endpoint in the settings nothing is sent."""
    settings = get_settings()
    if settings.otlp_endpoint is None:
        return []
    # Serve names no service, so its tracer takes this one.
    os.environ.setdefault(OTEL_SERVICE_NAME, _NAME)
    trace_with(_OtlpRecorder(trace.get_tracer(_NAME, __version__)))
    return [_processor(settings.otlp_endpoint)]


@contextmanager
def tracing(settings: Settings) -> Iterator[None]:
    """Trace what this process does in the block, if the settings name an endpoint. At the end, the spans that
    are left are sent."""
    if settings.otlp_endpoint is None:
        yield
        return
    provider = TracerProvider(
        sampler=ParentBasedTraceIdRatio(settings.trace_sampling),
        resource=Resource.create({SERVICE_NAME: _NAME, SERVICE_VERSION: __version__}),
    )
    provider.add_span_processor(_processor(settings.otlp_endpoint))
    trace_with(_OtlpRecorder(provider.get_tracer(_NAME, __version__)))
    try:
        yield
    finally:
        trace_with(None)
        provider.shutdown()


def _processor(endpoint: str) -> SpanProcessor:
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=_TIMEOUT_S)
    return _Cleaned(exporter, schedule_delay_millis=_EVERY_MS)


class _Cleaned(BatchSpanProcessor):
    """Leaves out the checks of the gateway, several a second, and what Serve says of exceptions: their
    messages may quote what a user sent."""

    def on_end(self, span: ReadableSpan) -> None:
        if span.name != _CHECK:
            super().on_end(_without_messages(span) if span.events or span.status.description else span)


def _without_messages(span: ReadableSpan) -> ReadableSpan:
    attributes = dict(span.attributes or {})
    for event in span.events:
        if kind := (event.attributes or {}).get("exception.type"):
            attributes["error.type"] = kind
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        links=span.links,
        kind=span.kind,
        status=trace.Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


class _OtlpRecorder:
    """See SpanRecorder."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def begin(self, name: str, attributes: dict[str, Attribute], parent: str | None) -> Iterator[None]:
        above = None if parent is None else _W3C.extract({_TRACEPARENT: parent})
        with self._tracer.start_as_current_span(
            name, above, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as current:
            try:
                yield
            except BaseException as exc:
                # Without its message, which may quote what a user sent.
                current.set_attribute("error.type", type(exc).__name__)
                current.set_status(trace.StatusCode.ERROR)
                raise

    def part(self, name: str, attributes: dict[str, Attribute]) -> AbstractContextManager[None]:
        recorded = trace.get_current_span().is_recording()
        return self.begin(name, attributes, None) if recorded else nullcontext()

    def describe(self, name: str, attributes: dict[str, Attribute]) -> None:
        current = trace.get_current_span()
        current.update_name(name)
        current.set_attributes(attributes)

    def trace_id(self) -> str | None:
        context = trace.get_current_span().get_span_context()
        return trace.format_trace_id(context.trace_id) if context.trace_flags.sampled else None

    def traceparent(self) -> str | None:
        if self.trace_id() is None:
            return None
        carrier: dict[str, str] = {}
        _W3C.inject(carrier)
        return carrier[_TRACEPARENT]
