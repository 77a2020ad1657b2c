"""What a route adds to its description in OpenAPI: the errors it answers, and whether it needs a token."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from serve_app.schemas.base import ErrorAnswer, QuotaErrorAnswer


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses of the contract's error shape for these statuses."""
    return {status: {"model": ErrorAnswer, "description": HTTPStatus(status).phrase} for status in statuses}


BODY: Final = (408, 413, 415)
"""What is wrong with any body: too slow, too large, compressed."""

COMPUTE_ERRORS = errors(400, 401, *BODY, 422, 429, 500, 503)
"""What any route that takes a picture may answer besides success."""

QUOTA_ERROR: dict[int | str, dict[str, Any]] = {
    429: {"model": QuotaErrorAnswer | ErrorAnswer, "description": HTTPStatus.TOO_MANY_REQUESTS.phrase}
}
"""What a route answers when the day's quota of its user is used up, or too much of the user's is in hand."""

PUBLIC: Final[dict[str, Any]] = {"security": [{}]}
"""What a route adds that takes a user's token and works without: no credentials are enough, too."""
