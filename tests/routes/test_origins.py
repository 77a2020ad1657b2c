"""An origin that is not listed is logged, and cannot fill the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from semblance.settings import Settings
from serve_app.api.origins import UnlistedOriginMiddleware
from tests.support.api import Api

LISTED = "https://app.example"


@pytest.fixture
def api_settings(api_settings: Settings, request: pytest.FixtureRequest) -> Settings:
    return api_settings.model_copy(update={"cors_origins": getattr(request, "param", (LISTED,))})


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.WARNING, "serve_app.api.origins"):
        yield caplog


async def preflight(client: httpx.AsyncClient, origin: str) -> int:
    headers = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    return (await client.options("/api/notifications", headers=headers)).status_code


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def client_of(*origins: str, every: float = 60) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(UnlistedOriginMiddleware(nothing, origins, every))
    return httpx.AsyncClient(transport=transport, base_url="http://api")


@pytest.mark.parametrize("api_settings", [(LISTED,), ()], indirect=True)
async def test_it_is_logged_with_the_setting(api: Api, log: pytest.LogCaptureFixture) -> None:
    """Also without any list, as in a new installation."""
    origin = f"https://other-{len(api.services.settings.cors_origins)}.example"
    assert await preflight(api.client, origin) >= 400
    [line] = log.messages
    assert origin in line
    assert "SEMBLANCE_CORS_ORIGINS" in line


async def test_listed_origins_and_other_requests_are_not_logged(
    api: Api, log: pytest.LogCaptureFixture
) -> None:
    assert await preflight(api.client, LISTED) == 200
    await api.client.get("/health", headers={"Origin": "https://evil.example"})
    await api.client.options("/health", headers={"Origin": "https://evil.example"})
    async with client_of("*") as client:
        await preflight(client, "https://evil.example")
    assert log.messages == []


async def test_each_is_logged_once_in_a_while(log: pytest.LogCaptureFixture) -> None:
    async with client_of(every=3600) as client:
        for _ in range(3):
            for name in ("a", "b"):
                await preflight(client, f"https://{name}.example")
    assert len(log.messages) == 2
    log.clear()
    async with client_of(every=0) as client:
        for _ in range(3):
            await preflight(client, "https://a.example")
    assert len(log.messages) == 3


async def test_nobody_fills_log_or_memory(log: pytest.LogCaptureFixture) -> None:
    async with client_of() as client:
        for number in range(500):
            await preflight(client, f"https://{number}.example")
    assert len(log.messages) == 100


@pytest.mark.parametrize(
    "origin",
    ["https://a.example/path", "https://a b", "x\ty", "javascript:alert(1)", "https://" + "a" * 300, ""],
)
async def test_an_invalid_origin_is_not_repeated(log: pytest.LogCaptureFixture, origin: str) -> None:
    async with client_of() as client:
        await preflight(client, origin)
    assert log.messages == []


@pytest.mark.parametrize("origin", ["null", "http://[::1]:3000", "capacitor://localhost"])
async def test_every_origin_that_browsers_send_is_logged(log: pytest.LogCaptureFixture, origin: str) -> None:
    async with client_of() as client:
        await preflight(client, origin)
    assert origin in log.text
