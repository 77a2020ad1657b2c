"""A plain read answers exactly as FastAPI's own route would, and skips nothing that a route asks for."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import fields
from inspect import signature
from threading import current_thread, main_thread
from typing import Annotated, Any, Literal

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Query, Response
from fastapi.dependencies.models import Dependant
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from serve_app.api.dependencies import current_user, require_api_key
from serve_app.api.known_paths import KnownPaths
from serve_app.api.route_plan import plan_of
from serve_app.schemas.base import Values
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


async def count_opening(request: Request) -> AsyncIterator[int]:
    yield await count_asking(request)


@pytest.mark.parametrize("is_plain", [True, False])
@pytest.mark.parametrize("dependency", [count_asking, count_opening])
async def test_what_route_and_endpoint_ask_for_is_solved_once(is_plain: bool, dependency: Any) -> None:
    app = FastAPI()
    app.state.asked = 0

    @app.get("/asked", dependencies=[Depends(dependency)])
    async def asked(times: int = Depends(dependency), again: int = Depends(dependency)) -> dict[str, int]:
        return {"times": times, "again": again}

    if is_plain:
        assert plan_of(app.routes[-1]) is not None
        app.add_middleware(KnownPaths, app)
    assert (await get(app, "/asked")).json() == {"times": 1, "again": 1}


class Thing(BaseModel):
    size: int


class SecretThing(Thing):
    secret: str = "hidden"


async def outcome(app: FastAPI, path: str) -> tuple[int, bytes, httpx.Headers, str]:
    """What a client gets, and what the server is told of the exception."""
    told = ""

    async def telling(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal told
        try:
            await app(scope, receive, send)
        except Exception as exc:
            told = f"{type(exc).__name__}: {exc}"
            raise

    transport = httpx.ASGITransport(telling, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://things") as client:
        answer = await client.get(path)
    return answer.status_code, answer.content, answer.headers, told


async def nothing(request: Request) -> int:
    return 1


async def suppressing(request: Request) -> AsyncIterator[int]:
    with suppress(ValueError):
        yield 1


async def failing(request: Request) -> AsyncIterator[int]:
    yield 1
    raise LookupError("left")


class FailingResponse(Response):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError("not begun")


async def parts() -> AsyncIterator[bytes]:
    yield b"one"
    raise LookupError("begun")


def endings_of(*, is_plain: bool) -> FastAPI:
    """An application whose routes end in other ways than with the answer of their model."""
    app = FastAPI()
    ends: dict[str, tuple[Any, Any, Any]] = {
        "/teapot": (Thing, nothing, HTTPException(418)),
        "/conflict": (Thing, nothing, HTTPException(409, "no", {"X-Reason": "taken"})),
        "/found": (Thing, nothing, LookupError("nobody")),
        "/disk": (Thing, nothing, OSError("full")),
        "/bug": (Thing, nothing, ZeroDivisionError("bug")),
        "/failing": (Thing, failing, Thing(size=1)),
        "/not-begun": (Thing, nothing, FailingResponse()),
        "/nothing": (Thing, nothing, None),
        "/more": (Thing, nothing, {"size": 1, "secret": "hidden"}),
        "/less": (Thing, nothing, {}),
        "/derived": (Thing, nothing, SecretThing(size=1)),
        "/values": (Thing, nothing, Values(size=1)),
        "/list": (list[Thing], nothing, [{"size": "1"}]),
        "/models": (dict[str, Any], nothing, {"thing": Thing(size=1), "huge": 2**70, "nan": math.nan}),
    }

    def add(path: str, model: Any, dependency: Any, end: Any) -> None:
        @app.get(path, response_model=model, dependencies=[Depends(dependency)])
        async def ending() -> Any:
            if isinstance(end, Exception):
                raise end
            return end

        assert plan_of(app.routes[-1]) is not None

    for path, (model, dependency, end) in ends.items():
        add(path, model, dependency, end)

    @app.get("/begun", response_model=Thing)
    async def begun() -> Response:
        return StreamingResponse(parts())

    @app.exception_handler(LookupError)
    async def refuse(request: Request, exc: LookupError) -> Response:
        return Response(str(exc), 422)

    @app.exception_handler(OSError)
    def blocking(request: Request, exc: OSError) -> Response:
        return Response(f"on the loop: {current_thread() is main_thread()}", 507)

    @app.exception_handler(418)
    async def tea(request: Request, exc: HTTPException) -> Response:
        return Response("tea", 418)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, exc: Exception) -> Response:
        return Response("unexpected", 500)

    if is_plain:
        app.add_middleware(KnownPaths, app)
    return app


@pytest.mark.parametrize(
    "path",
    [
        *("/teapot", "/conflict", "/found", "/disk", "/bug", "/failing", "/not-begun", "/begun"),
        *("/nothing", "/more", "/less", "/derived", "/values", "/list", "/models"),
    ],
)
async def test_a_request_ends_as_in_fastapi(path: str) -> None:
    ours, theirs = [await outcome(endings_of(is_plain=each), path) for each in (True, False)]
    # In the log, ours names the route without its lines.
    assert (ours[:3], ours[3].partition("\n")[0]) == (theirs[:3], theirs[3].partition("\n")[0])


@pytest.mark.parametrize("is_plain", [True, False])
async def test_a_request_is_answered_where_a_dependency_suppresses_exceptions(is_plain: bool) -> None:
    app = FastAPI()

    @app.get("/quiet")
    async def quiet(given: Annotated[int, Depends(suppressing)]) -> Thing:
        raise ValueError("quiet")

    if is_plain:
        app.add_middleware(KnownPaths, app)
    status, _, _, told = await outcome(app, "/quiet")
    assert (status, "exception" in told) == (500, True)


async def test_an_answer_that_breaks_the_model_is_told_with_its_route() -> None:
    _, _, _, told = await outcome(endings_of(is_plain=True), "/less")
    assert told.startswith("ResponseValidationError")
    assert "GET /less" in told


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
