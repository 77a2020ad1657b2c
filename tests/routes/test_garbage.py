"""A request leaves no objects in a circle. Only the garbage collector frees those, which stops all other
requests for milliseconds."""

from __future__ import annotations

import gc
from collections import Counter

import pytest

from tests.support.api import API_KEY, Api, User
from tests.support.direct import status_of
from tests.support.photos import ASTRONAUT

REQUESTS = 10


def form(picture: bytes) -> bytes:
    """The body of a form with a picture."""
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="x.jpg"\r\n\r\n'
    return head + picture + b"\r\n--x--\r\n"


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
    bearer = ada.headers["Authorization"] if path.startswith("/api/") else f"Bearer {API_KEY}"
    headers = {b"host": b"api", b"authorization": bearer.encode()}
    if body:
        headers[b"content-type"] = b"multipart/form-data; boundary=x"
        headers[b"content-length"] = str(len(body)).encode()
    path, _, query = path.partition("?")

    async def ask() -> int:
        method = "POST" if body else "GET"
        return await status_of(api, method, path, query=query, headers=headers, body=body)

    for _ in range(3):
        assert await ask() == status
    gc.collect()
    # The loop still holds some of what earlier tests left. It is not counted when it is let go.
    gc.freeze()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(REQUESTS):
            await ask()
        gc.collect()
        left = Counter(type(each).__qualname__ for each in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert [name for name, count in left.items() if count >= REQUESTS] == []
