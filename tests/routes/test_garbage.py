"""A request leaves no objects in a circle. Only the garbage collector frees those, which stops all other
requests for milliseconds."""

from __future__ import annotations

import gc
from collections import Counter

import pytest
from starlette.types import Message, Scope

from tests.support.api import API_KEY, Api, User
from tests.support.photos import ASTRONAUT

REQUESTS = 10


def form(picture: bytes) -> bytes:
    """The body of a form with a picture."""
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="x.jpg"\r\n\r\n'
    return head + picture + b"\r\n--x--\r\n"


async def ask(api: Api, path: str, headers: dict[str, str], body: bytes) -> int:
    """Send a request as a server does; HTTP clients leave such objects. Returns the status of the answer."""
    length = (
        {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(len(body))} if body else {}
    )
    sent = {"Host": "api", **headers, **length}
    scope: Scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST" if body else "GET",
        "scheme": "http",
        "path": path.partition("?")[0],
        "raw_path": path.partition("?")[0].encode(),
        "query_string": path.partition("?")[2].encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": {},
    }
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        messages.append(message)

    await api.app(scope, receive, send)
    return int(messages[0]["status"])


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/notifications", b"", 200),
        ("/api/notifications?limit=x", b"", 422),
        ("/api/matches/top", b"", 200),
        ("/api/matches/none", b"", 404),
        ("/api/connections", b"", 200),
        ("/api/auth/me", b"", 200),
        ("/api/admin/settings", b"", 403),
        ("/health", b"", 200),
        ("/lookalikes", form(ASTRONAUT.read_bytes()), 200),
        ("/lookalikes", form(b"no picture"), 415),
    ],
)
async def test_a_request_leaves_nothing_in_a_circle(
    api: Api, ada: User, path: str, body: bytes, status: int
) -> None:
    headers = ada.headers if path.startswith("/api/") else {"Authorization": f"Bearer {API_KEY}"}
    for _ in range(3):
        assert await ask(api, path, headers, body) == status
    gc.collect()
    # The loop still holds some of what earlier tests left. It is not counted when it is let go.
    gc.freeze()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(REQUESTS):
            await ask(api, path, headers, body)
        gc.collect()
        left = Counter(type(each).__qualname__ for each in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert [name for name, count in left.items() if count >= REQUESTS] == []
