"""What a route adds to its description in OpenAPI: the errors it answers, and whether it needs a token."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from serve_app.schemas.base import ErrorAnswer, QuotaErrorAnswer


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses of the contract's error shape for these statuses."""
    return {status: {"model": ErrorAnswer, "description": HTTPStatus(status).phrase} for status in statuses}


BODY: Final = (408, 413, 415)
"""Statuses of refused bodies: too slow, too large, compressed."""

COMPUTE_ERRORS = errors(400, 401, *BODY, 422, 429, 500, 503)
"""Errors of any route that takes a photo."""

QUOTA_ERROR: dict[int | str, dict[str, Any]] = {
    429: {"model": QuotaErrorAnswer | ErrorAnswer, "description": HTTPStatus.TOO_MANY_REQUESTS.phrase}
}
"""Errors of a route when its user's daily quota is used up, or too many of their requests are in progress."""

PUBLIC: Final[dict[str, Any]] = {"security": [{}]}
"""Addition to a route that takes a user's token but also works without."""
