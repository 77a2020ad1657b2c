"""Receivers of what a service sends away: an OpenTelemetry collector and a Sentry, as far as they listen."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.http_server import QuietHandler, serving


@dataclass(slots=True)
class Receiver:
    """An HTTP server that answers 200 to everything and keeps it."""

    url: str
    bodies: dict[str, list[bytes]] = field(default_factory=dict)
    """By path."""

    @property
    def spans(self) -> list[Span]:
        """All spans that were exported."""
        requests = map(ExportTraceServiceRequest.FromString, self.bodies.get("/v1/traces", []))
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def events(self) -> list[dict[str, object]]:
        """All events in envelopes for Sentry's project 1."""
        found = []
        for body in self.bodies.get("/api/1/envelope/", []):
            _, *parts = body.decode().splitlines()
            for head, content in zip(parts[::2], parts[1::2], strict=False):
                if json.loads(head)["type"] == "event":
                    found.append(json.loads(content))
        return found


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A receiver on a free port of this machine."""

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            received.bodies.setdefault(self.path, []).append(body)
            self.reply(200)

    with serving(Handler) as url:
        received = Receiver(url)
        yield received
