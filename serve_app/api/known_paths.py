"""Plain reads whose route is known by their path alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.api.plain_route import PlainRoute

_GET: Final = {"GET"}


@dataclass(frozen=True, slots=True)
class _Known:
    """answer: the route as an application. context: the route with what its routers add."""

    answer: ASGIApp
    context: RouteContext


class KnownPaths:
    """In front of a router: finds the route of a GET by its path. FastAPI tries routes one after the other,
    twice at each level of routers, which takes a tenth of all that the API itself does for a small read.

    Paths with parameters, other methods and other classes of routes are left to the router.
    """

    def __init__(self, router: APIRouter) -> None:
        """router: with all its routes."""
        self._router = router
        self._known: dict[str, _Known] = {}
        seen = set[str | None]()
        for context in iter_route_contexts(router.routes):
            path, is_first = context.path, context.path not in seen
            seen.add(path)
            is_plain = isinstance(context.original_route, PlainRoute) and context.methods == _GET
            if is_first and is_plain and path is not None and "{" not in path:
                self._known[path] = _Known(context.app, context)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_read = scope["type"] == "http" and scope["method"] == "GET"
        known = self._known.get(scope["path"]) if is_read else None
        if known is None:
            await self._router.app(scope, receive, send)
            return
        # As the router leaves it.
        scope.setdefault("fastapi", {})["effective_route_context"] = known.context
        scope["router"] = self._router
        scope["route"] = known.context.original_route
        scope["endpoint"] = known.context.endpoint
        scope["path_params"] = {}
        await known.answer(scope, receive, send)
