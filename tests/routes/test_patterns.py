"""Errors say in words what a request may hold, never as a regular expression."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from serve_app.schemas.patterns import sentence_of
from tests.support.api import Api

FALLBACK = sentence_of("no such pattern")


def patterns(node: Any, document: dict[str, Any], seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """Every pattern in a part of the OpenAPI document, references followed."""
    if isinstance(node, list):
        for item in node:
            yield from patterns(item, document, seen)
    elif isinstance(node, dict):
        if isinstance(pattern := node.get("pattern"), str):
            yield pattern
        reference = node.get("$ref")
        if isinstance(reference, str) and reference not in seen:
            name = reference.rpartition("/")[2]
            yield from patterns(document["components"]["schemas"][name], document, seen | {reference})
        for value in node.values():
            yield from patterns(value, document, seen)


async def test_every_pattern_of_a_request_has_a_sentence(api: Api) -> None:
    document = api.app.openapi()
    found = {
        pattern
        for operations in document["paths"].values()
        for operation in operations.values()
        for pattern in patterns([operation.get("parameters"), operation.get("requestBody")], document)
    }
    assert found
    assert {pattern: sentence_of(pattern) for pattern in found if sentence_of(pattern) == FALLBACK} == {}


@pytest.mark.parametrize(
    ("method", "path", "body", "headers"),
    [
        ("PATCH", "/api/auth/me", {"name": "\x00"}, {}),
        ("PATCH", "/api/auth/me", {"school": "a\x07b"}, {}),
        ("POST", "/api/messages", {"connection_id": str(uuid4()), "content": " \n "}, {}),
        ("POST", "/api/baby", {"match_id": str(uuid4())}, {"Idempotency-Key": "two words"}),
    ],
)
async def test_no_answer_shows_a_regular_expression(
    api: Api, method: str, path: str, body: dict[str, str], headers: dict[str, str]
) -> None:
    user = await api.member("ada")
    answer = await api.client.request(method, path, json=body, headers={**user.headers, **headers})
    assert answer.status_code == 422, answer.text
    problem = answer.json()["fields"][0]["problem"]
    assert not {"pattern", "^", "$", "Value error"} & set(problem.replace(",", " ").split())
    assert not any(sign in answer.text for sign in ("[^", "\\\\x", "]+$", "Value error"))


@pytest.mark.parametrize(
    ("kind", "body", "problem"),
    [
        # What curl sends with -d.
        (
            "application/x-www-form-urlencoded",
            '{"name": "Ada"}',
            "should be a JSON object, sent with Content-Type: application/json",
        ),
        ("application/json", "", "should be a JSON object, sent with Content-Type: application/json"),
        ("application/json", "[]", "should be a JSON object, sent with Content-Type: application/json"),
        (
            "application/json",
            "{name}",
            "is not JSON: Expecting property name enclosed in double quotes at character 2",
        ),
    ],
)
async def test_a_body_that_is_no_json_object_is_told_what_to_send(
    api: Api, kind: str, body: str, problem: str
) -> None:
    headers = {**api.user().headers, "Content-Type": kind}
    answer = await api.client.patch("/api/auth/me", content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["fields"] == [{"field": "body", "problem": problem}]
    assert answer.json()["error"] == f"body: {problem}"
