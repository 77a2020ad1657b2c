"""Which errors a route documents in OpenAPI."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from serve_app.api.schemas.base import ErrorAnswer, QuotaErrorAnswer


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses of the contract's error shape for these statuses."""
    return {status: {"model": ErrorAnswer, "description": HTTPStatus(status).phrase} for status in statuses}


COMPUTE_ERRORS = errors(400, 401, 413, 415, 422, 500, 503)
"""What any route that takes a picture may answer besides success."""

QUOTA_ERROR: dict[int | str, dict[str, Any]] = {
    429: {"model": QuotaErrorAnswer, "description": HTTPStatus.TOO_MANY_REQUESTS.phrase}
}
"""What a route answers when the day's quota of its user is used up."""
