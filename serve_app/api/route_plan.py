"""How a plain route is answered: by a plan that is made once. FastAPI solves the dependencies again for each
request, which is a third of all that the API itself does for a small read.

A route is plain if its parameters are single values of the query, its dependencies take the request alone,
its body is read by these, and its answer is JSON by a model.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from copy import copy
from dataclasses import dataclass, replace
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any

import msgspec
from fastapi._compat import ModelField, field_annotation_is_sequence
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import EndpointContext
from fastapi.routing import serialize_response
from starlette.requests import Request
from starlette.responses import Response

from serve_app.schemas.base import Values

_VALUES = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class _Dependency:
    """arguments: by which the endpoint takes it; none if it only checks. request: by which it takes the
    request. is_context: whether it gives a context, which is left after the answer."""

    call: Callable[..., Any]
    arguments: tuple[str, ...]
    request: str
    is_context: bool


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """What a plain route asks for, and how it answers."""

    endpoint: Callable[..., Awaitable[Any]]
    dependencies: tuple[_Dependency, ...]
    query: dict[str, ModelField]
    """By the name in the query."""
    defaults: dict[str, Any]
    answered: ModelField
    status: int
    described: EndpointContext
    """For the log, if the answer is not what the route promises."""
    provider: Any
    """Whose `dependency_overrides` take the place of dependencies, in tests."""

    def parameters(self, request: Request) -> dict[str, Any] | None:
        """The values of the query; None if FastAPI should say what is wrong with them."""
        if self.provider is not None and self.provider.dependency_overrides:
            return None
        values = copy(self.defaults)
        if request.scope["query_string"]:
            given = request.query_params
            for name, field in self.query.items():
                if name in given:
                    value, problems = field.validate(given[name], values, loc=("query", name))
                    if problems:
                        return None
                    values[field.name] = value
        return values

    async def answer(self, request: Request, values: dict[str, Any], left_behind: AsyncExitStack) -> Response:
        """The answer to a request with these parameters. Raises what its dependencies and the endpoint raise.

        left_behind: takes the contexts that are left when the answer has been sent.
        """
        for dependency in self.dependencies:
            asked = dependency.call(**{dependency.request: request})
            solved = await (left_behind.enter_async_context(asked) if dependency.is_context else asked)
            for argument in dependency.arguments:
                values[argument] = solved
        answer = await self.endpoint(**values)
        if isinstance(answer, Response):
            return answer
        if isinstance(answer, Values):
            # FastAPI, in place of this plan, would make the model of them.
            content = _VALUES.encode(answer)
        else:
            content = await serialize_response(
                field=self.answered, response_content=answer, endpoint_ctx=self.described, dump_json=True
            )
        return Response(content, self.status, media_type="application/json")


def plan_of(route: Any) -> RoutePlan | None:
    """The plan for a plain route; None for any other.

    Args:
        route: an APIRoute, or what FastAPI makes of it where it is included.
    """
    dependant: Dependant = route.dependant
    endpoint: Any = dependant.call
    dependencies = _dependencies(dependant.dependencies)
    is_plain = (
        route.methods in ({"GET"}, {"POST"})
        and _takes_values_alone(dependant)
        and route.body_field is None
        and route.max_body_size is None
        and all(_is_single(field) for field in dependant.query_params)
        and iscoroutinefunction(endpoint)
        and _answers_json(route)
    )
    if not is_plain or dependencies is None:
        return None
    return RoutePlan(
        endpoint=endpoint,
        dependencies=dependencies,
        query={field.alias: field for field in dependant.query_params},
        defaults={field.name: field.default for field in dependant.query_params},
        answered=route.response_field,
        status=route.status_code or 200,
        described=EndpointContext(path=f"{min(route.methods)} {dependant.path}"),
        provider=route.dependency_overrides_provider,
    )


def _takes_values_alone(dependant: Dependant) -> bool:
    """Whether nothing but the query and dependencies is asked for."""
    return not any(
        (
            *(dependant.path_params, dependant.header_params, dependant.cookie_params, dependant.body_params),
            *(dependant.request_param_name, dependant.http_connection_param_name),
            *(dependant.response_param_name, dependant.background_tasks_param_name),
            *(dependant.websocket_param_name, dependant.security_scopes_param_name),
            dependant.concurrency,
        )
    )


def _dependencies(dependants: Iterable[Dependant]) -> tuple[_Dependency, ...] | None:
    """In the order in which they are asked for; None if one of them is not plain. As in FastAPI, one that a
    route and its endpoint ask for is solved once."""
    found: dict[Any, _Dependency] = {}
    for each in dependants:
        known = _dependency(each)
        if known is None:
            return None
        before = found.get(each.call)
        found[each.call] = replace(known, arguments=before.arguments + known.arguments) if before else known
    return tuple(found.values())


def _dependency(dependant: Dependant) -> _Dependency | None:
    """A dependency that is a coroutine, or an asynchronous generator, of the request alone; None for any
    other."""
    call: Any = dependant.call
    is_coroutine = iscoroutinefunction(call) or iscoroutinefunction(type(call).__call__)
    is_context = isasyncgenfunction(call)
    request = dependant.request_param_name or dependant.http_connection_param_name
    asks_more = (
        *(dependant.dependencies, dependant.query_params, dependant.path_params, dependant.header_params),
        *(dependant.cookie_params, dependant.body_params, dependant.response_param_name),
        *(dependant.background_tasks_param_name, dependant.websocket_param_name),
        *(dependant.security_scopes_param_name, dependant.concurrency, dependant.scope),
        dependant.request_param_name is not None and dependant.http_connection_param_name is not None,
        not dependant.use_cache,
    )
    if not (is_coroutine or is_context) or request is None or any(asks_more):
        return None
    arguments = () if dependant.name is None else (dependant.name,)
    return _Dependency(asynccontextmanager(call) if is_context else call, arguments, request, is_context)


def _is_single(field: ModelField) -> bool:
    """Whether a parameter is one value with a default that can be shared."""
    default = field.default
    return (
        not field.field_info.is_required()
        and not field.field_info.validate_default
        and field.validation_alias in {None, field.alias}
        and isinstance(default, bool | int | float | str | None)
        and not field_annotation_is_sequence(field.field_info.annotation)
    )


def _answers_json(route: Any) -> bool:
    ordinary = (
        route.response_model_include is None
        and route.response_model_exclude is None
        and route.response_model_by_alias
        and not route.response_model_exclude_unset
        and not route.response_model_exclude_defaults
        and not route.response_model_exclude_none
    )
    return (
        ordinary
        and route.response_field is not None
        and route.stream_item_field is None
        and isinstance(route.response_class, DefaultPlaceholder)
    )
