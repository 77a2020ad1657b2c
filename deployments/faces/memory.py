"""How a process that decodes photos keeps and returns memory."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
"""Parameters of glibc's mallopt (malloc.h)."""

_KEPT: Final = 8
"""The part of all its memory that a process keeps free for the next photo: of 1 GiB, what one of 12
megapixels takes in any format."""

_LARGE: Final = 16
"""The part from which on a block is returned as soon as it is freed."""


def keep_memory(most: int) -> None:
    """Keep the memory of a photo for the next one, up to an eighth of `most`, the bytes that the process may
    have. `return_memory` returns it.

    What is returned must be cleared by the system before it is used again: of a WebP of 12 megapixels that
    takes a third of the time. By default, the size from which on blocks are returned rises with each one that
    is freed, and so does the memory that is kept.
    """
    # Other C libraries have no mallopt, and keep memory by rules of their own.
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, most // _LARGE)
        mallopt(_M_TRIM_THRESHOLD, kept_bytes(most))
        mallopt(_M_ARENA_MAX, 2)


def kept_bytes(most: int) -> int:
    """How many bytes a process keeps free that may have `most`."""
    return most // _KEPT


def return_memory() -> None:
    """Return all memory that is free to the system."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
