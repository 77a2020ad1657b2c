"""Lets the handshake of a WebSocket have lines as long as the gateway passes on.

A browser sends all cookies of a host in one line, and an address may have an access token. The library that
reads a handshake gives up on a line of more than 8 kB, and uvicorn then never answers.
"""

from __future__ import annotations

from websockets import http11

from semblance.protocol import HEAD_ROOM


def take_long_lines() -> None:
    """Have all HTTP servers of this process take such lines. Called again, it changes nothing."""
    http11.MAX_LINE_LENGTH = HEAD_ROOM
