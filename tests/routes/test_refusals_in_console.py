"""The console has words for every code of an error that it can meet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from ops.stack.gateway_config import GatewayConfig
from semblance.errors import SemblanceError
from semblance.settings import Settings
from tools.console import SOURCES

NOT_OVER_HTTP = {"source", "workers", "qdrant", "job_lost", "ray_refused", "ray_unreachable"}
"""Errors of what an operator runs."""

OF_FASTAPI = {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
"""What it answers by itself to an address, a method or a body."""

OF_THE_PAGE = {"unreachable", "unknown"}
"""Without an answer, and for one that is not of the service."""


def classes(of: type[SemblanceError]) -> Iterator[type[SemblanceError]]:
    yield of
    for each in of.__subclasses__():
        yield from classes(each)


def codes_of_the_gateway() -> set[str]:
    text = GatewayConfig.of(Settings(), "127.0.0.1", 8080, ("127.0.0.1", 8000), 1000).text()
    return set(re.findall(r'"code": "(\w+)"', text))


@pytest.mark.parametrize("language", ["en", "de"])
def test_every_code_has_words_and_no_other(language: str) -> None:
    ours = {each.code for each in classes(SemblanceError) if each.__module__ == "semblance.errors"}
    assert ours > NOT_OVER_HTTP
    gateway = codes_of_the_gateway()
    assert "too_many_uploads" in gateway
    fastapi = {status.phrase.lower().replace(" ", "_") for status in OF_FASTAPI}
    expected = ours - NOT_OVER_HTTP | gateway | fastapi | OF_THE_PAGE | {"invalid_request"}
    catalog = (SOURCES / "src" / "parts" / "refusals" / f"words.{language}.po").read_text(encoding="utf-8")
    assert set(re.findall(r'^msgid "refusal\.(.+)"$', catalog, re.MULTILINE)) == expected
