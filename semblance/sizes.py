"""Sizes in bytes, as people read them."""

from __future__ import annotations

_MEBIBYTE = 2**20


def byte_size(count: int) -> str:
    """`count` bytes, 0 or more, in words: "25 MiB", "37.5 MiB", and below one MiB "1,000 bytes"."""
    if count < _MEBIBYTE:
        return f"{count:,} bytes"
    return f"{count / _MEBIBYTE:.1f}".removesuffix(".0") + " MiB"
