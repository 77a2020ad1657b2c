"""Sizes in bytes, as people read them."""

from __future__ import annotations

_UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def byte_size(count: int) -> str:
    """`count` bytes, 0 or more, in words: "2 GiB", "37.5 MiB", "16 KiB", "1,000 bytes"."""
    for size, name in _UNITS:
        if count >= size:
            return f"{count / size:,.1f}".removesuffix(".0") + f" {name}"
    return f"{count:,} bytes"
