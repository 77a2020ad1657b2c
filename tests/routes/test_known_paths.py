"""A plain route is answered as by FastAPI, and only found by its method and path."""

from __future__ import annotations

from itertools import product
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

from semblance.settings import Settings
from serve_app.api.factory import create_app
from serve_app.api.known_paths import KnownPaths
from serve_app.api.route_plan import plan_of
from serve_app.api.services import Services
from tests.support.api import API_KEY, Api


def app_of(*, is_known: bool) -> FastAPI:
    things = APIRouter(prefix="/things")

    @things.get("")
    async def some(limit: int = 50) -> dict[str, Any]:
        return {"limit": limit}

    @things.post("")
    async def add() -> dict[str, Any]:
        return {"added": True}

    @things.get("/seen")
    async def seen(request: Request) -> dict[str, Any]:
        left = (request.scope[key] for key in ("route", "endpoint", "path_params"))
        return {"left": [getattr(each, "name", None) or str(each) for each in left if each is not seen]}

    @things.get("/{thing}")
    async def thing(thing: str) -> dict[str, Any]:
        return {"thing": thing}

    app = FastAPI()

    @app.get("/api/things/older")
    async def older() -> dict[str, Any]:
        return {"older": True}

    @things.get("/older")
    async def newer() -> dict[str, Any]:
        return {"older": False}

    app.include_router(things, prefix="/api")
    if is_known:
        app.add_middleware(KnownPaths, app)
    return app


async def answer(app: FastAPI, method: str, path: str) -> tuple[int, str]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://things") as client:
        answered = await client.request(method, path)
        return answered.status_code, answered.text


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    "path",
    [
        *("/api/things", "/api/things?limit=2", "/api/things?limit=two", "/api/things/", "/things"),
        *("/api/things/seen", "/api/things/older", "/api/things/7", "/api/things/7/8"),
    ],
)
async def test_the_answer_is_that_of_the_router(method: str, path: str) -> None:
    found = await answer(app_of(is_known=True), method, path)
    assert found == await answer(app_of(is_known=False), method, path)


@pytest.mark.parametrize("path", ["/api/things", "/root/api/things", "/api/api/things"])
@pytest.mark.parametrize("root", ["", "/root", "/api"])
async def test_the_answer_below_a_root_path_is_that_of_the_router(root: str, path: str) -> None:
    answers = []
    for is_known in (True, False):
        transport = httpx.ASGITransport(app_of(is_known=is_known), root_path=root)
        async with httpx.AsyncClient(transport=transport, base_url="http://things") as client:
            answers.append((await client.get(path)).text)
    assert answers[0] == answers[1]


async def test_frequent_reads_do_not_go_through_the_router(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = await api.member("Ada")

    async def unasked(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError(f"{scope['path']} went through the router.")

    monkeypatch.setattr(api.app.router, "app", unasked)
    for path in ("/api/notifications", "/api/matches/top", "/api/connections"):
        assert (await api.client.get(path, headers=ada.headers)).status_code == 200


@pytest.fixture(params=[None, "2025"])
def api_settings(api_settings: Settings, request: pytest.FixtureRequest) -> Settings:
    return api_settings.model_copy(update={"compat": request.param})


async def test_each_known_path_is_answered_as_by_fastapi(api: Api) -> None:
    async def opened() -> Services:
        return api.services

    theirs = create_app(api.services.settings, opened)
    ours: object = KnownPaths
    theirs.user_middleware = [each for each in theirs.user_middleware if each.cls is not ours]
    assert len(theirs.user_middleware) == len(api.app.user_middleware) - 1
    theirs.state._state.update(api.app.state._state)
    ada = await api.member("Ada")
    known = [
        (method, context.path)
        for context in iter_route_contexts(api.app.routes)
        if isinstance(context.original_route, APIRoute) and plan_of(context) is not None
        for method in context.methods or ()
    ]
    assert len(known) > 15
    key = {"Authorization": f"Bearer {API_KEY}"}
    queries = ("", "?limit=1&limit=2", "?limit=x")
    for (method, path), who, query in product(known, ({}, ada.headers, key), queries):
        url = f"http://api{path}{query}"
        answers = []
        for app in (api.app, theirs):
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
                answer = await client.request(method, url, headers={**who, "X-Request-ID": "one"})
            answers.append((answer.status_code, answer.headers, answer.content))
        assert answers[0] == answers[1], (method, url)


def test_no_route_with_a_parameter_comes_before_a_known_path(api: Api) -> None:
    """FastAPI would choose the one that comes first."""
    before: list[RouteContext] = []
    for context in iter_route_contexts(api.app.routes):
        path, methods = context.path or "", context.methods or set[str]()
        if "{" in path:
            before.append(context)
        else:
            hidden_by = [
                each.path
                for each in before
                if compile_path(each.path or "")[0].match(path) and methods & (each.methods or set())
            ]
            assert not hidden_by, path
    assert before
