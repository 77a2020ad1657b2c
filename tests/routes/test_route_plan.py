"""A plain read answers exactly as FastAPI's own route would, and skips nothing that a route asks for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import fields
from inspect import signature
from typing import Annotated, Any, Literal

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, Query, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.requests import Request

from serve_app.api.dependencies import current_user, require_api_key
from serve_app.api.known_paths import KnownPaths
from serve_app.api.route_plan import plan_of
from tests.support.api import Api


class ThingsAnswer(BaseModel):
    limit: int
    order: str = Field(alias="sorted")
    cursor: str | None
    who: str


async def who_asks(request: Request) -> str:
    if "authorization" not in request.headers:
        raise LookupError("nobody")
    return request.headers["authorization"]


def app_of(*, is_plain: bool, dependencies: list[Any] | None = None) -> FastAPI:
    router = APIRouter(prefix="/things")

    @router.get("", status_code=203)
    async def things(
        *,
        who: Annotated[str, Depends(who_asks)],
        limit: Annotated[int, Query(ge=1, le=100)] = 50,
        order: Annotated[Literal["newest", "best"], Query(alias="sort")] = "newest",
        cursor: Annotated[str | None, Query(max_length=5)] = None,
    ) -> ThingsAnswer:
        return ThingsAnswer(limit=limit, sorted=order, cursor=cursor, who=who)

    @router.get("/{thing}")
    async def thing(thing: int, tag: Annotated[list[str] | None, Query()] = None) -> dict[str, Any]:
        return {"thing": thing, "tag": tag}

    app = FastAPI()

    @app.exception_handler(LookupError)
    async def refuse(request: Request, exc: LookupError) -> Response:
        return Response(str(exc), 401)

    app.include_router(router, dependencies=dependencies)
    if is_plain:
        app.add_middleware(KnownPaths, app)
    return app


async def get(app: FastAPI, path: str, user: str | None = "ada") -> httpx.Response:
    headers = {} if user is None else {"Authorization": user}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://things") as client:
        return await client.get(path, headers=headers)


@pytest.mark.parametrize("user", ["ada", None])
@pytest.mark.parametrize(
    "path",
    [
        "/things",
        "/things?limit=7&sort=best&cursor=abc",
        "/things?limit=7&limit=8&unknown=1",
        "/things?order=best",
        "/things?limit=",
        "/things?limit=0",
        "/things?limit=x&sort=worst&cursor=abcdef",
        "/things?cursor=%C3%A4%00",
        "/things/3?tag=a&tag=b",
        "/things/x",
    ],
)
async def test_the_answer_is_that_of_fastapi(path: str, user: str | None) -> None:
    ours, theirs = [await get(app_of(is_plain=each), path, user) for each in (True, False)]
    assert (ours.status_code, ours.content, ours.headers) == (
        theirs.status_code,
        theirs.content,
        theirs.headers,
    )


async def test_values_of_one_request_are_not_those_of_the_next() -> None:
    app = app_of(is_plain=True)
    assert (await get(app, "/things?limit=7")).json()["limit"] == 7
    assert (await get(app, "/things", "bob")).json() == {
        "limit": 50, "sorted": "newest", "cursor": None, "who": "bob"
    }  # fmt: skip


async def refuse_all(request: Request) -> None:
    raise LookupError("closed")


async def refuse_without_header(x_pass: Annotated[str | None, Header()] = None) -> None:
    if x_pass is None:
        raise LookupError("no pass")


@pytest.mark.parametrize(("check", "said"), [(refuse_all, "closed"), (refuse_without_header, "no pass")])
async def test_what_a_router_checks_where_it_is_included_is_checked(check: Any, said: str) -> None:
    answer = await get(app_of(is_plain=True, dependencies=[Depends(check)]), "/things")
    assert (answer.status_code, answer.text) == (401, said)


async def test_a_dependency_can_be_replaced_for_a_test() -> None:
    app = app_of(is_plain=True)
    app.dependency_overrides[who_asks] = lambda: "eve"
    assert (await get(app, "/things", None)).json()["who"] == "eve"


async def count_asking(request: Request) -> int:
    request.app.state.asked += 1
    asked: int = request.app.state.asked
    return asked


@pytest.mark.parametrize("is_plain", [True, False])
async def test_what_route_and_endpoint_ask_for_is_solved_once(is_plain: bool) -> None:
    app = FastAPI()
    app.state.asked = 0

    @app.get("/asked", dependencies=[Depends(count_asking)])
    async def asked(times: Annotated[int, Depends(count_asking)]) -> dict[str, int]:
        return {"times": times}

    if is_plain:
        app.add_middleware(KnownPaths, app)
    assert (await get(app, "/asked")).json() == {"times": 1}


class Thing(BaseModel):
    size: int


class StampedRoute(APIRoute):
    """A class of routes that does something more."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        usual = super().get_route_handler()

        async def stamped(request: Request) -> Response:
            answer = await usual(request)
            answer.headers["X-Stamp"] = "1"
            return answer

        return stamped


async def size_of(request: Request) -> int:
    return len(await request.body())


def special_of(*, is_plain: bool) -> FastAPI:
    """An application whose routes do what no plan does."""
    app, stamped, limited = FastAPI(), APIRouter(route_class=StampedRoute), APIRouter(max_body_size=3)

    @stamped.get("/stamped")
    async def stamp() -> Thing:
        return Thing(size=1)

    @limited.post("/limited")
    async def limit(size: Annotated[int, Depends(size_of)]) -> Thing:
        return Thing(size=size)

    @app.get("/tags")
    async def tags(tag: Annotated[list[str] | str | None, Query()] = None) -> list[str]:
        return [repr(tag)]

    app.include_router(stamped)
    app.include_router(limited)
    if is_plain:
        app.add_middleware(KnownPaths, app)
    return app


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/stamped"), ("POST", "/limited"), ("GET", "/tags?tag=a&tag=b"), ("GET", "/tags?tag=a")],
)
async def test_what_no_plan_does_is_left_to_fastapi(method: str, path: str) -> None:
    seen = []
    for is_plain in (True, False):
        transport = httpx.ASGITransport(special_of(is_plain=is_plain))
        async with httpx.AsyncClient(transport=transport, base_url="http://things") as client:
            answer = await client.request(method, path, content=b"four" if method == "POST" else None)
        seen.append((answer.status_code, answer.content, answer.headers))
    assert seen[0] == seen[1]


async def opened(request: Request) -> AsyncIterator[bytes]:
    request.app.state.steps.append("opened")
    try:
        yield await request.body()
    finally:
        request.app.state.steps.append("closed")


def photos_of(*, is_plain: bool) -> FastAPI:
    """An application whose route has a dependency that is left behind the answer."""
    router = APIRouter()
    app = FastAPI()
    steps: list[str] = []
    app.state.steps = steps

    @router.post("/photos")
    async def photos(photo: Annotated[bytes, Depends(opened)], most: int = 3) -> ThingsAnswer:
        steps.append("worked on")
        if photo == b"bad":
            raise LookupError("no face")
        return ThingsAnswer(limit=most, sorted="size", cursor=None, who=photo.decode())

    @app.exception_handler(LookupError)
    async def refuse(request: Request, exc: LookupError) -> Response:
        steps.append("refused")
        return Response(str(exc), 422)

    app.include_router(router)
    if is_plain:
        app.add_middleware(KnownPaths, app)
    return app


@pytest.mark.parametrize("path", ["/photos", "/photos?most=7", "/photos?most=x"])
@pytest.mark.parametrize("photo", [b"good", b"bad"])
async def test_a_body_is_read_and_left_as_by_fastapi(path: str, photo: bytes) -> None:
    seen = []
    for is_plain in (True, False):
        app = photos_of(is_plain=is_plain)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://things") as client:
            answer = await client.post(path, content=photo)
        seen.append((answer.status_code, answer.content, app.state.steps))
    assert seen[0] == seen[1]
    assert "opened" in seen[0][2]


def test_a_route_with_a_body_that_is_left_is_plain() -> None:
    routes = [each for router in photos_of(is_plain=True).routes for each in routes_of(router)]
    [route] = [each for each in routes if getattr(each, "path", "") == "/photos"]
    plan = plan_of(route)
    assert plan is not None
    assert [dependency.is_context for dependency in plan.dependencies] == [True]


def test_fastapi_asks_for_nothing_that_a_plan_does_not_know() -> None:
    """A new kind of parameter or option would be left out in silence."""
    assert {field.name for field in fields(Dependant)} == {
        *("path_params", "query_params", "header_params", "cookie_params", "body_params"),
        *("request_param_name", "http_connection_param_name", "response_param_name"),
        *("background_tasks_param_name", "websocket_param_name", "security_scopes_param_name"),
        *("dependencies", "name", "call", "path", "scope", "concurrency"),
        # Of the document, and of a dependency that several others have.
        *("own_oauth_scopes", "parent_oauth_scopes", "use_cache"),
    }


def test_fastapi_has_no_option_of_routes_that_a_plan_does_not_know() -> None:
    """As above."""
    assert set(signature(APIRoute).parameters) == {
        *("path", "endpoint", "methods", "dependencies", "status_code", "dependency_overrides_provider"),
        *("response_model", "response_class", "response_model_include", "response_model_exclude"),
        *("response_model_by_alias", "response_model_exclude_unset", "response_model_exclude_defaults"),
        *("response_model_exclude_none", "max_body_size"),
        # Of the document.
        *("tags", "summary", "description", "response_description", "responses", "deprecated", "name"),
        *("operation_id", "include_in_schema", "callbacks", "openapi_extra", "generate_unique_id_function"),
        # Of a body that FastAPI reads.
        *("strict_content_type", "form_limits"),
    }


def routes_of(router: Any) -> Iterator[Any]:
    """All routes of an application or of a router in it, with what the routers around them ask for."""
    for each in router.effective_candidates() if hasattr(router, "effective_candidates") else [router]:
        yield from routes_of(each) if hasattr(each, "effective_candidates") else [each]


@pytest.mark.parametrize(
    ("path", "checked_by"),
    [("/api/notifications", current_user), ("/analyze-face-advanced", require_api_key)],
)
def test_what_is_frequent_is_plain_and_asks_who_the_client_is(api: Api, path: str, checked_by: Any) -> None:
    found = (each for router in api.app.routes for each in routes_of(router))
    route = next(each for each in found if getattr(each, "path", "") == path and "HEAD" not in each.methods)
    plan = plan_of(route)
    assert plan is not None
    assert checked_by in [dependency.call for dependency in plan.dependencies]
