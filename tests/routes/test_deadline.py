from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from serve_app.api.deadline import DeadlineMiddleware


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()

    @app.get("/slow")
    async def slow() -> None:
        await asyncio.sleep(5)

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[str]:
            for _ in range(4):
                await asyncio.sleep(0.1)
                yield "part "

        return StreamingResponse(parts())

    @app.get("/fails")
    async def fails() -> None:
        raise TimeoutError

    app.add_middleware(DeadlineMiddleware, seconds=0.2)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as connected:
        yield connected


async def test_a_request_that_hangs_is_answered(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(3):
        answer = await client.get("/slow")
    assert answer.status_code == 503
    assert answer.json()["code"] == "overloaded"
    assert answer.headers["retry-after"] == "5"


async def test_an_answer_that_has_begun_may_take_its_time(client: httpx.AsyncClient) -> None:
    assert (await client.get("/stream")).text == "part " * 4


async def test_other_timeouts_are_not_mistaken_for_it(client: httpx.AsyncClient) -> None:
    with pytest.raises(TimeoutError):
        await client.get("/fails")
