"""Receivers of what a service sends away: an OpenTelemetry collector and a Sentry, as far as they listen."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


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

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            received.bodies.setdefault(self.path, []).append(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        received = Receiver(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
        thread.start()
        try:
            yield received
        finally:
            server.shutdown()
            thread.join()
