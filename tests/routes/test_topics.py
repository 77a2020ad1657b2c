"""A request tries only the routes below its own prefix, and finds every one of them."""

from __future__ import annotations

import re

import pytest
from starlette.routing import Match
from starlette.types import Scope

from serve_app.api.topics import Topic
from tests.support.api import Api


def scope(method: str, path: str) -> Scope:
    return {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}


def test_every_documented_operation_is_found(api: Api) -> None:
    unknown = [
        f"{method} {path}"
        for path, operations in api.app.openapi()["paths"].items()
        for method in operations
        if not any(
            route.matches(scope(method.upper(), re.sub(r"{\w+}", "0", path)))[0] is Match.FULL
            for route in api.app.routes
        )
    ]
    assert unknown == []


@pytest.mark.parametrize(
    ("prefix", "path", "expected"),
    [
        ("/faces", "/faces/1", Match.FULL),
        ("/faces", "/matches/1", Match.NONE),
        ("/matches/{match}", "/matches/7/1", Match.FULL),
        ("/matches/{match}", "/faces/7/1", Match.NONE),
    ],
)
def test_other_paths_are_not_tried(prefix: str, path: str, expected: Match) -> None:
    tried = []

    class Router(Topic):
        def matches(self, scope: Scope) -> tuple[Match, Scope]:
            match, child = super().matches(scope)
            tried.append(match)
            return match, child

    from fastapi import FastAPI

    app, topic = FastAPI(), Router(prefix=prefix)
    topic.add_api_route("/{number}", lambda: None)
    app.include_router(topic)
    found = [route.matches(scope("GET", path))[0] for route in app.routes[-1:]]
    assert (found, tried) == ([expected], [expected])
