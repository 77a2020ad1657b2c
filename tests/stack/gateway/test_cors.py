"""Answers of the gateway itself to pages of other origins."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from ops.stack.gateway_targets import Serve
from tests.support.gateway import (
    CLIENT,
    LOOPBACK,
    Backend,
    applications,
    backend,
    gateway,
    gateway_before,
    limited,
    server_of,
)
from tests.support.waiting import wait_for

APP = "https://app.example"


@pytest.mark.parametrize(
    ("origins", "asked", "allowed"),
    [
        (("http://localhost:3000", APP), APP, APP),
        (("*",), APP, "*"),
        ((APP,), "https://app.example.evil", None),
        ((APP,), None, None),
        ((), APP, None),
    ],
)
def test_the_app_can_read_the_gateways_own_answers_and_no_other_sites_can(
    tmp_path: Path, origins: tuple[str, ...], asked: str | None, allowed: str | None
) -> None:
    headers = {} if asked is None else {"Origin": asked}
    with gateway_before(
        tmp_path, origins=origins, limits=limited(requests=6), trusted_proxies=(LOOPBACK,)
    ) as (front, behind):
        headers["X-Forwarded-For"] = CLIENT
        said = httpx.get(f"{front.url}/", headers=headers)
        behind.plain = 503
        own = {
            404: httpx.get(f"{front.url}/-/routes", headers=headers),
            431: httpx.get(f"{front.url}/", headers=headers | {"X-Large": "a" * 20_000}),
            503: httpx.get(f"{front.url}/", headers=headers),
        }
        own[429] = [httpx.get(f"{front.url}/", headers=headers) for _ in range(8)][-1]
    assert {status: answer.status_code for status, answer in own.items()} == {code: code for code in own}
    for answer in own.values():
        assert answer.headers.get("access-control-allow-origin") == allowed
        exposed = answer.headers.get("access-control-expose-headers")
        assert exposed == (None if allowed is None else "X-Request-ID, Retry-After")
    # The API sets its own CORS headers.
    assert said.status_code == 200
    assert "access-control-allow-origin" not in said.headers


def test_other_applications_set_their_own_cors_headers(tmp_path: Path, rest: Backend) -> None:
    serve = Serve(rest.address, None)
    with gateway(tmp_path, rest.address, rest=serve, origins=("*",)) as front, backend() as one:
        rest.applications = applications(one, prefixes=("/second",))
        wait_for(lambda: server_of(front) == one.port)
        wait_for(lambda: httpx.get(f"{front.url}/second").json()["server"] == rest.port)
        answer = httpx.get(f"{front.url}/second", headers={"Origin": APP})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
