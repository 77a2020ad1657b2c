"""The tables whose rows name pictures; apart from the store, which imports the settings that need them."""

from __future__ import annotations

from typing import Literal, TypeAlias

PictureTable: TypeAlias = Literal["faces", "celebrities", "babies"]
"""The tables whose rows name pictures."""
