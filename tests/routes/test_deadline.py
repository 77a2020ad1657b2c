from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse

from serve_app.api.deadline import _DEADLINE, DeadlineMiddleware
from tests.support.waiting import PATIENCE_S


async def get(path: str, seconds: float) -> httpx.Response:
    """The answer of an app whose requests may take so long."""
    app = FastAPI()

    @app.get("/slow")
    async def slow() -> None:
        await asyncio.Event().wait()

    @app.get("/stream")
    async def stream(request: Request) -> StreamingResponse:
        deadline: asyncio.Timeout = request.scope[_DEADLINE]
        assert deadline.when() is not None

        async def parts() -> AsyncIterator[str]:
            yield f"ends: {deadline.when()}"

        return StreamingResponse(parts())

    @app.get("/fails")
    async def fails() -> None:
        raise TimeoutError

    app.add_middleware(DeadlineMiddleware, seconds=seconds)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as connected:
        return await connected.get(path)


async def test_a_request_that_hangs_is_answered() -> None:
    async with asyncio.timeout(PATIENCE_S):
        answer = await get("/slow", 0.2)
    assert answer.status_code == 503
    assert answer.json()["code"] == "overloaded"
    assert answer.headers["retry-after"] == "5"


async def test_an_answer_that_has_begun_may_take_its_time() -> None:
    assert (await get("/stream", PATIENCE_S)).text == "ends: None"


async def test_other_timeouts_are_not_mistaken_for_it() -> None:
    with pytest.raises(TimeoutError):
        await get("/fails", PATIENCE_S)
