"""Plain routes that are known by their method and path alone."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.api.route_plan import RoutePlan, plan_of


@dataclass(frozen=True, slots=True)
class _Known:
    """context: the route with what its routers add."""

    plan: RoutePlan
    context: RouteContext


class KnownPaths:
    """The innermost middleware: answers plain routes. FastAPI tries routes one after the other, twice at each
    level of routers, and wraps each request in what such a one does not need: a quarter of all that the API
    itself does for a small read.

    All others are left to FastAPI, as is every request with a parameter that is refused.
    """

    def __init__(self, fastapi: ASGIApp, app: FastAPI) -> None:
        """fastapi: answers all others. app: with all its routes and handlers of exceptions."""
        self._fastapi = fastapi
        # As in FastAPI, those of unexpected exceptions are called further out.
        handlers = {key: call for key, call in app.exception_handlers.items() if key not in {500, Exception}}
        self._plain = ExceptionMiddleware(self._answer, handlers)
        self._known: dict[tuple[str, str], _Known] = {}
        seen = set[tuple[str, str]]()
        for context in iter_route_contexts(app.router.routes):
            for method in context.methods or ():
                path = method, context.path or ""
                # Other classes of routes may do more than is planned.
                is_plain = type(context.original_route) is APIRoute and "{" not in path[1]
                if path not in seen and is_plain and (plan := plan_of(context)) is not None:
                    self._known[path] = _Known(plan, context)
                seen.add(path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Below a root path, paths are longer than those of the routes.
        may_be_known = scope["type"] == "http" and not scope.get("root_path")
        is_known = may_be_known and (scope["method"], scope["path"]) in self._known
        await (self._plain if is_known else self._fastapi)(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = self._known[scope["method"], scope["path"]]
        request = Request(scope, receive, send)
        values = known.plan.parameters(request)
        if values is None:
            await self._fastapi(scope, receive, send)
            return
        # As FastAPI leaves it.
        scope.setdefault("fastapi", {})["effective_route_context"] = known.context
        async with AsyncExitStack() as left_behind:
            response = await known.plan.answer(request, values, left_behind)
            await response(scope, receive, send)
            return
        raise RuntimeError(f"A dependency of {scope['method']} {scope['path']} suppresses exceptions.")
