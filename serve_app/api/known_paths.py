"""Plain reads whose route is known by their path alone."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import isawaitable
from typing import Final

from fastapi import FastAPI
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.api.plain_route import PlainRoute, RoutePlan, plan_of

_GET: Final = {"GET"}


@dataclass(frozen=True, slots=True)
class _Known:
    """context: the route with what its routers add."""

    plan: RoutePlan
    context: RouteContext


class KnownPaths:
    """The innermost middleware: answers a plain GET by its path. FastAPI tries routes one after the other,
    twice at each level of routers, and wraps each request in what such a read does not need: a quarter of all
    that the API itself does for one.

    Paths with parameters, other methods and other classes of routes are left to FastAPI, as is every request
    with a parameter that is refused.
    """

    def __init__(self, fastapi: ASGIApp, app: FastAPI) -> None:
        """fastapi: answers all others. app: with all its routes and handlers of exceptions."""
        self._fastapi = fastapi
        self._handlers = app.exception_handlers
        self._known: dict[str, _Known] = {}
        seen = set[str | None]()
        for context in iter_route_contexts(app.router.routes):
            path, is_first = context.path, context.path not in seen
            seen.add(path)
            if (
                is_first
                and isinstance(context.original_route, PlainRoute)
                and context.methods == _GET
                and path is not None
                and "{" not in path
                and (plan := plan_of(context)) is not None
                and not plan.has_contexts
            ):
                self._known[path] = _Known(plan, context)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_read = scope["type"] == "http" and scope["method"] == "GET"
        known = self._known.get(scope["path"]) if is_read else None
        if known is None:
            await self._fastapi(scope, receive, send)
            return
        request = Request(scope, receive, send)
        values = known.plan.parameters(request)
        if values is None:
            await self._fastapi(scope, receive, send)
            return
        # As FastAPI leaves it.
        scope.setdefault("fastapi", {})["effective_route_context"] = known.context
        try:
            response = await known.plan.answer(request, values)
        except Exception as exc:
            handler = next((self._handlers[cls] for cls in type(exc).__mro__ if cls in self._handlers), None)
            if handler is None:
                raise
            answered = handler(request, exc)
            response = await answered if isawaitable(answered) else answered
        await response(scope, receive, send)
