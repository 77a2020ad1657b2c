"""What wraps every request: its id, its host, the headers of all answers, the answer to unexpected errors."""

from __future__ import annotations

import logging
import re
import time
import uuid
from http import HTTPStatus

from fastapi.exceptions import ValidationException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from semblance.errors import BadInputError
from semblance.logging import SAFE_REQUEST_ID, request_id_var
from semblance.metrics import REQUEST_SECONDS, REQUESTS
from semblance.protocol import API_MARK
from semblance.tracing import describe
from serve_app.api.errors import answer_to, error_response

logger = logging.getLogger(__name__)


class RequestIdMiddleware:
    """Makes the request's id known to errors and logs.

    The gateway gives every request an `X-Request-ID`, the client's own if it sent one, and sets the header on
    the answer. An id that could forge log lines is replaced.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode(
            "latin-1"
        )
        token = request_id_var.set(given if SAFE_REQUEST_ID.fullmatch(given) else str(uuid.uuid4()))
        try:
            await self._app(scope, receive, send)
        finally:
            request_id_var.reset(token)


class MetricsMiddleware:
    """Counts every answered request by its route, and measures when its answer begins.

    Routes are known by their templates, a mounted application by its path. What leads nowhere shares a label,
    so that a scanner cannot make series.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        routed = scope[_ROUTED] = list[Scope]()

        async def measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = _route(routed[0]) if routed else "unmatched"
                labels = {
                    "method": scope["method"] if scope["method"] in _METHODS else "other",
                    "route": route,
                }
                REQUEST_SECONDS.observe(time.perf_counter() - began, **labels)
                REQUESTS.count(**labels, status=str(message["status"]))
                described = {
                    "http.request.method": labels["method"],
                    "http.route": route,
                    "http.response.status_code": message["status"],
                }
                describe(f"{labels['method']} {route}", **described)
            await send(message)

        try:
            await self._app(scope, receive, measured)
        finally:
            # The scope has this list, and would be left to the garbage collector.
            routed.clear()


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_ROUTED = "semblance.routed"


class RoutedMiddleware:
    """Lets MetricsMiddleware see the scope that the router gets, to which it adds the route that it finds.
    Others in between make copies."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _ROUTED in scope:
            scope[_ROUTED].append(scope)
        await self._app(scope, receive, send)


def _route(scope: Scope) -> str:
    """The template of the route that was found for the request."""
    # FastAPI keeps the template with the prefixes of its routers apart from the route.
    whole = scope.get("fastapi", {}).get("effective_route_context")
    for route in (whole, scope.get("route")):
        if path := getattr(route, "path", None):
            return str(path)
    return str(scope["root_path"]) if "endpoint" in scope else "unmatched"


_AUTHORITY = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")


class AddressMiddleware:
    """Refuses a `Host` that is not a name or address with an optional port, and a client that is named twice.

    Links in answers begin with the host if no public address is set, since a local machine is reached by many
    names. AnswerHeadersMiddleware keeps such an answer out of shared caches.

    The gateway names the client once. The HTTP server appends the trailers of a chunked body to the headers,
    and believes what comes last.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        problem = _problem(scope)
        if problem is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await answer_to(BadInputError(problem))(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})


def _problem(scope: Scope) -> str | None:
    given: dict[bytes, list[str]] = {b"host": [], b"x-forwarded-for": [], b"x-forwarded-proto": []}
    for name, value in scope["headers"]:
        if name in given:
            given[name].append(value.decode("latin-1"))
    hosts = given.pop(b"host")
    if len(hosts) > 1 or not all(map(_AUTHORITY.fullmatch, hosts)):
        return "The Host header is not a host name or address."
    for name, values in given.items():
        if len(values) > 1:
            header = name.decode().title()
            return f"The request has {header} twice; send it at most once, and not behind the body."
    return None


class AnswerHeadersMiddleware:
    """Puts the API's mark on every answer, and marks it as not to be stored, unless it says otherwise itself,
    and its content type as final."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] in {"http.response.start", "websocket.http.response.start"}:
                named = {name for name, _ in message["headers"]}
                missing = [header for header in _ANSWER_HEADERS if header[0] not in named]
                message["headers"] = [*message["headers"], _MARK, *missing]
            await send(message)

        await self._app(scope, receive, with_headers)


_MARK = (API_MARK.lower().encode(), b"1")
_ANSWER_HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


class UnexpectedErrorMiddleware:
    """Logs an exception that no handler knows, and answers it in the contract's shape.

    Starlette's own last handler runs outside all middleware: its answer would have no request id, and a
    browser could not read it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as exc:
            if isinstance(exc, ValidationException):
                # The refused values may be anything, and are printed with the exception.
                for error in exc.errors():
                    error.pop("input", None)
            logger.exception("unexpected error")
            if started:
                # The client must see that the answer is incomplete.
                raise
            response = error_response(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "Something went wrong on our side; the request id finds it in the log.",
                "internal_error",
            )
            await response(scope, receive, send)
