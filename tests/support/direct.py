"""Requests to the application without an HTTP client."""

from __future__ import annotations

from typing import Any

from starlette.types import Scope

from tests.support.api import Api


def scope_of(method: str, path: str, *, query: str = "", headers: dict[bytes, bytes]) -> Scope:
    """A request as a server hands it on."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": list(headers.items()),
        "client": ("127.0.0.1", 1),
        "server": ("api", 80),
        "state": {},
    }


async def status_of(
    api: Api, method: str, path: str, *, query: str = "", headers: dict[bytes, bytes], body: bytes = b"{}"
) -> int:
    """The answer's status, from the application itself: a client would refuse to send some requests, and
    leaves objects of its own."""
    messages: list[dict[str, object]] = [
        {"type": "http.disconnect"},
        {"type": "http.request", "body": body, "more_body": False},
    ]
    statuses = []

    async def receive() -> dict[str, object]:
        return messages.pop() if len(messages) > 1 else messages[0]

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await api.app(scope_of(method, path, query=query, headers=headers), receive, send)
    [status] = statuses
    return int(status)
