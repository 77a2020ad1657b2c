"""What the gateway and the API behind it agree on."""

from __future__ import annotations

API_MARK = "X-Semblance"
"""Header that the API sets on each answer, by which the gateway tells them from those of Ray Serve. Clients
do not see it."""

BODY_OVERHEAD = 1.5
"""The largest body of a photo, relative to the photo: base64 adds a third, its line breaks, escaped in JSON,
up to a twelfth, a form a few hundred bytes."""

HEAD_ROOM = 32 * 1024
"""Bytes that the gateway has for the head of a request: no line that comes through it is longer."""
