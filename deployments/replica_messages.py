"""How large a message between two replicas can become.

If Ray Serve carries calls by gRPC, each process refuses messages over a limit that it reads from the
environment when Serve is imported: 4 MiB by default, which one photo of a phone exceeds. So the limit is
derived from the settings, here and nowhere else.
"""

from __future__ import annotations

from typing import Final

from semblance.settings import Settings

VARIABLE: Final = "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH"
"""Where Serve reads the limit in bytes, for requests to a replica and for its answers."""

MAX_CROP_SIDE: Final = 256
"""Side in pixels of the largest crop that a pack's nets may take."""

_CROPS: Final = 3
"""Of one face: aligned, portrait, and the one of the age and gender net."""

_FACE_BYTES: Final = _CROPS * 3 * MAX_CROP_SIDE**2 + 8 * 1024
"""One face with its crops; landmarks, box and pickle's framing take some 4 kB."""

STORED_SIDES: Final = (2048, 1080, 256)
"""Long sides in pixels of the JPEG files that the detector's `render` returns."""

_STORED_BYTES: Final = sum(3 * (-(-side // 16) * 16) ** 2 + 2048 for side in STORED_SIDES)
"""All of them, square, with any content: what libjpeg-turbo's tjBufSize() reserves for a JPEG with 4:2:0
subsampling, in units of 16 x 16 pixels."""

_ENVELOPE_BYTES: Final = 64 * 1024
"""What Serve adds to a call: its metadata and pickle's framing take a few kB."""


def largest_message(settings: Settings) -> int:
    """Bytes of the largest message between replicas: a photo on its way to the detector, all its faces with
    their crops on their way back and on to embedder and analyzer, or the files that `render` returns."""
    largest = max(settings.max_image_bytes, settings.max_faces * _FACE_BYTES, _STORED_BYTES)
    return largest + _ENVELOPE_BYTES


def message_environment(settings: Settings) -> dict[str, str]:
    """The variable that makes processes of Serve accept such messages."""
    return {VARIABLE: str(largest_message(settings))}
