"""The header by which a server says how long to wait."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def seconds_of(retry_after: str | None) -> float:
    """The seconds that a Retry-After asks for (RFC 9110, section 10.2.3: a number or a date); 0 without one,
    and for what is neither."""
    value = (retry_after or "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        # A number in a date may be larger than any integer of C.
        return 0.0
    # It has no zone if written as -0000.
    left = (until if until.tzinfo else until.replace(tzinfo=UTC)) - datetime.now(UTC)
    return max(0.0, left.total_seconds())
