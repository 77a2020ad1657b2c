"""Opaque cursors of lists read by key: a time and an id, so that equal times neither skip nor repeat."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

from semblance.errors import BadInputError


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row a client has seen."""

    time: datetime
    id: UUID

    def encode(self) -> str:
        """URL-safe text."""
        text = f"{self.time.isoformat()}|{self.id}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Self:
        """The cursor of `encode`'s text; raises BadInputError for any other text."""
        try:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            time, _, identity = (
                base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition("|")
            )
            parsed = datetime.fromisoformat(time)
            if parsed.tzinfo is None:
                raise BadInputError("This cursor is not valid; take it from an answer as it is.")
            return cls(parsed, UUID(identity))
        except (binascii.Error, ValueError) as exc:
            raise BadInputError("This cursor is not valid; take it from an answer as it is.") from exc
