"""The status and the shape of every error: `{"error", "code", "request_id", …}`, never a stack trace or
HTML."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from semblance.errors import (
    BabyProviderError,
    BadInputError,
    BusyClientError,
    ConfigurationError,
    ConflictError,
    DatabaseError,
    EncodedBodyError,
    ForbiddenError,
    IdempotencyKeyReusedError,
    IdentityProviderError,
    ImageTooCostlyError,
    ImageTooLargeError,
    IncompleteBodyError,
    NotFoundError,
    OverloadedError,
    PackMismatchError,
    QueryError,
    QuotaExceededError,
    ReferenceGoneError,
    SemblanceError,
    SlowBodyError,
    StorageError,
    TextProviderBusyError,
    TextRefusedError,
    TooManyConnectionsError,
    UnauthorizedError,
    UnreadableImageError,
)
from semblance.logging import request_id_var
from semblance.metrics import REFUSALS
from serve_app.schemas.patterns import sentence_of

logger = logging.getLogger(__name__)

STATUSES: Final[Mapping[type[SemblanceError], HTTPStatus]] = MappingProxyType(
    {
        BadInputError: HTTPStatus.BAD_REQUEST,
        UnauthorizedError: HTTPStatus.UNAUTHORIZED,
        ForbiddenError: HTTPStatus.FORBIDDEN,
        NotFoundError: HTTPStatus.NOT_FOUND,
        ReferenceGoneError: HTTPStatus.NOT_FOUND,
        SlowBodyError: HTTPStatus.REQUEST_TIMEOUT,
        IncompleteBodyError: HTTPStatus.REQUEST_TIMEOUT,
        ConflictError: HTTPStatus.CONFLICT,
        PackMismatchError: HTTPStatus.CONFLICT,
        ImageTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        EncodedBodyError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        UnreadableImageError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        IdempotencyKeyReusedError: HTTPStatus.UNPROCESSABLE_ENTITY,
        ImageTooCostlyError: HTTPStatus.UNPROCESSABLE_ENTITY,
        BusyClientError: HTTPStatus.TOO_MANY_REQUESTS,
        QuotaExceededError: HTTPStatus.TOO_MANY_REQUESTS,
        TooManyConnectionsError: HTTPStatus.TOO_MANY_REQUESTS,
        ConfigurationError: HTTPStatus.INTERNAL_SERVER_ERROR,
        QueryError: HTTPStatus.INTERNAL_SERVER_ERROR,
        BabyProviderError: HTTPStatus.BAD_GATEWAY,
        TextRefusedError: HTTPStatus.BAD_GATEWAY,
        DatabaseError: HTTPStatus.SERVICE_UNAVAILABLE,
        IdentityProviderError: HTTPStatus.SERVICE_UNAVAILABLE,
        OverloadedError: HTTPStatus.SERVICE_UNAVAILABLE,
        StorageError: HTTPStatus.SERVICE_UNAVAILABLE,
        TextProviderBusyError: HTTPStatus.SERVICE_UNAVAILABLE,
    }
)
"""The status of each error class, also for its subclasses that are not listed. A test holds that every class
whose instances can reach a client has one."""


def status_of(exc: SemblanceError) -> HTTPStatus:
    """The status of the error's class or its nearest listed base class; 500 without one."""
    listed = (STATUSES[cls] for cls in type(exc).__mro__ if cls in STATUSES)
    return next(listed, HTTPStatus.INTERNAL_SERVER_ERROR)


def error_response(
    status: int,
    error: str,
    code: str,
    *,
    details: dict[str, object] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """The contract's error body with the current request's id. The answer is counted by its code."""
    REFUSALS.count(code=code)
    body = {**(details or {}), "error": error, "code": code, "request_id": request_id_var.get()}
    return JSONResponse(body, status, headers)


def answer_to(exc: SemblanceError, more_headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer to one of our own errors, which is logged if it is a failure of the service."""
    headers = dict(more_headers or {})
    if exc.retry_after is not None:
        headers["Retry-After"] = str(exc.retry_after)
    if isinstance(exc, UnauthorizedError):
        headers["WWW-Authenticate"] = "Bearer"
    status = status_of(exc)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(exc, OverloadedError):
        logger.error("%s: %s", exc.code, exc.message, exc_info=exc)
        headers.setdefault("Retry-After", "5")
    return error_response(status, exc.answer, exc.code, details=exc.details, headers=headers)


def install_error_handlers(app: FastAPI) -> None:
    """Answer exceptions in the contract's shape. UnexpectedErrorMiddleware answers all others."""

    @app.exception_handler(SemblanceError)
    async def ours(_: Request, exc: SemblanceError) -> JSONResponse:
        return answer_to(exc)

    @app.exception_handler(RequestValidationError)
    async def schema(_: Request, exc: RequestValidationError) -> JSONResponse:
        # The refused value itself stays out: it may be an embedding or a photo.
        fields = [
            {"field": ".".join(map(str, _place(error))), "problem": _problem(error)}
            for error in exc.errors()[:_MOST_FIELDS]
        ]
        sentence = "; ".join(f"{item['field']}: {item['problem']}" for item in fields[:3])
        return error_response(
            HTTPStatus.UNPROCESSABLE_ENTITY, sentence, "invalid_request", details={"fields": fields}
        )

    @app.exception_handler(HTTPException)
    async def http(_: Request, exc: HTTPException) -> JSONResponse:
        code = HTTPStatus(exc.status_code).phrase.lower().replace(" ", "_")
        return error_response(
            exc.status_code, str(exc.detail), code, headers=dict(exc.headers) if exc.headers else None
        )


_MOST_FIELDS: Final = 50
"""Fields that an answer names: more than any form has, and not as many as a body can have."""

_NO_OBJECT: Final = frozenset({"missing", "model_attributes_type", "model_type", "dict_type"})
"""How pydantic names a body that is no object. Without that header FastAPI hands it the bytes."""


def _place(error: Mapping[str, Any]) -> tuple[object, ...]:
    """Where the value is. FastAPI gives the offset of broken JSON as if it were a field."""
    return ("body",) if error["type"] == "json_invalid" else tuple(error["loc"])


def _problem(error: Mapping[str, Any]) -> str:
    """What is wrong with a value: the rest of a sentence that begins with the field."""
    if error["type"] == "json_invalid":
        return f"is not JSON: {error['ctx']['error']} at character {error['loc'][1] + 1}"
    if tuple(error["loc"]) == ("body",) and error["type"] in _NO_OBJECT:
        return "should be a JSON object, sent with Content-Type: application/json"
    if error["type"] == "string_pattern_mismatch":
        return sentence_of(error["ctx"]["pattern"])
    return str(error["msg"]).removeprefix("Value error, ")
