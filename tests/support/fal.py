"""A server on a free port that answers like fal.ai, with the faults that a test wants."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

KEY = "fal-key-id:fal-key-secret"


def jpeg(size: tuple[int, int] = (640, 480), colour: str = "peachpuff") -> bytes:
    file = BytesIO()
    Image.new("RGB", size, colour).save(file, "JPEG")
    return file.getvalue()


@dataclass(slots=True)
class Reply:
    """What the server answers; `delay`: seconds of silence before."""

    status: int = 200
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0


@dataclass(slots=True)
class Request:
    """A request to the server."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any] | None
    time: float


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that disconnects is not an error."""


class FalServer:
    """Answers orders with the address of a picture, unless `orders` or `pictures` holds other replies."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.orders: deque[Reply] = deque()
        self.pictures: deque[Reply] = deque()
        self.picture_url: str | None = None
        """The URL in answers, in place of this server's own picture."""
        self.on_order: Callable[[], None] = lambda: None
        """Called in the server's thread before an order is answered."""
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def ordered(self) -> list[Request]:
        return [request for request in self.requests if request.method == "POST"]

    @property
    def downloaded(self) -> list[Request]:
        return [request for request in self.requests if request.method == "GET"]

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(server) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the handler's own self is inside
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._note(body)
                server.on_order()
                url = server.picture_url or f"{server.url}/files/baby.jpg"
                answer = {
                    "images": [{"url": url, "width": 640, "height": 480, "content_type": "image/jpeg"}],
                    "has_nsfw_concepts": [False],
                    "seed": 1,
                    "prompt": body["prompt"],
                }
                self._reply(server.orders, json.dumps(answer).encode(), "application/json")

            def do_GET(self) -> None:
                self._note(None)
                self._reply(server.pictures, jpeg(), "image/jpeg")

            def _note(self, body: dict[str, Any] | None) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.requests.append(Request(self.command, self.path, headers, body, time.monotonic()))

            def _reply(self, replies: deque[Reply], body: bytes, content_type: str) -> None:
                reply = replies.popleft() if replies else Reply()
                time.sleep(reply.delay)
                content = body if reply.body is None else reply.body
                headers = {"Content-Type": content_type, "Content-Length": str(len(content)), **reply.headers}
                try:
                    self.send_response(reply.status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    # The client has disconnected.
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@pytest.fixture
def fal() -> Iterator[FalServer]:
    """A running server for this test."""
    server = FalServer()
    server.start()
    yield server
    server.stop()
