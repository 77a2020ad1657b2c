"""Drops the trailers of requests: headers that follow a body in chunks (RFC 9112, section 7.1.2).

uvicorn adds them to the headers, where they would stand for what the gateway says: a client could choose its
own address, request id and scheme. The gateway's HAProxy passes them on and has no option against it.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_on_header = HttpToolsProtocol.on_header


def drop_trailers() -> None:
    """Have all HTTP servers of this process drop trailers. Called again, it changes nothing."""
    HttpToolsProtocol.on_header = _on_header_of_head  # type: ignore[method-assign, assignment]


def _on_header_of_head(protocol: HttpToolsProtocol, name: bytes, value: bytes) -> None:
    # The answer to a request begins with the end of its head.
    if protocol.cycle is None or protocol.cycle.scope is not protocol.scope:
        _on_header(protocol, name, value)
