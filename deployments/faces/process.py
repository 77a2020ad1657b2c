"""Sets up a process that analyzes photos."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Final

import cv2

from semblance.settings import Settings

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
"""Parameters of glibc's mallopt (malloc.h)."""

_BLOCK_BYTES: Final = 32 * 1024 * 1024
"""Largest block that is allocated from memory that the process keeps; glibc accepts no more."""

_KEPT_BYTES: Final = 64 * 1024 * 1024
"""Free memory from which on some is returned to the system."""


def prepare_process(settings: Settings) -> None:
    """Let OpenCV use as many threads as the nets, and keep the memory that photos take for the next ones.

    By default, glibc returns large blocks to the system. Each photo then waits for the system to clear pages
    for it again, 300 to 4,500 of them, which takes 1 to 18 ms on a virtual machine.
    """
    cv2.setNumThreads(settings.threads)
    # Other C libraries have no mallopt, and keep memory by rules of their own.
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _BLOCK_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
