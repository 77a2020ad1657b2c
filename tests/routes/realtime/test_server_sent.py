"""The same events by server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import httpx
import pytest

from tests.support.api import Api, User
from tests.support.realtime import Server, notify, ping_often, wait_for_presence
from tests.support.waiting import PATIENCE_S, until


class EventSourceReader:
    """Server-sent events as EventSource reads them."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()
        self.last_event_id = ""

    async def next(self) -> tuple[str, dict[str, object]]:
        kind, data = "message", ""
        async with asyncio.timeout(PATIENCE_S):
            async for line in self._lines:
                field, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if field == "id":
                    self.last_event_id = value
                elif field == "event":
                    kind = value
                elif field == "data":
                    data += value
                elif not line and data:
                    return kind, json.loads(data)
        raise AssertionError("the stream has ended")


async def test_server_sent_events_resume_too(api: Api, server: Server, ada: User) -> None:
    url = f"{server.http}/api/realtime/events?channels=notifications"
    async with httpx.AsyncClient(headers=ada.headers) as client:
        async with client.stream("GET", url) as answer:
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            stream = EventSourceReader(answer)
            kind, event = await stream.next()
            assert kind == event["type"] == "hello"
            await notify(api.services.database, ada.id, "first")
            kind, event = await stream.next()
            assert kind == "notifications"
            assert stream.last_event_id == str(event["id"])
        await until(lambda: not api.services.hub.clients)
        await notify(api.services.database, ada.id, "second")
        async with client.stream("GET", url, headers={"Last-Event-ID": stream.last_event_id}) as answer:
            stream = EventSourceReader(answer)
            assert (await stream.next())[0] == "hello"
            _, event = await stream.next()
            assert "second" in json.dumps(event)
    await wait_for_presence(api.services.database, ada, online=False)


async def test_server_sent_pings_move_the_last_event_id_unseen(
    api: Api, server: Server, ada: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    ping_often(api.services.hub, monkeypatch)
    url = f"{server.http}/api/realtime/events?channels=notifications"
    async with httpx.AsyncClient(headers=ada.headers) as client, client.stream("GET", url) as answer:
        stream = EventSourceReader(answer)
        await stream.next()
        before = int(stream.last_event_id)
        await notify(api.services.database, bob.id)
        _, newest = await api.services.db.events.kept()
        assert newest > before
        async with asyncio.timeout(PATIENCE_S):
            async for line in stream._lines:
                assert not line.startswith(("event:", "data:"))
                if line == f"id: {newest}":
                    break


async def test_a_stream_says_why_it_ends(
    server: Server, ada: User, expiries: list[tuple[float, Callable[[], None]]]
) -> None:
    url = f"{server.http}/api/realtime/events"
    async with (
        httpx.AsyncClient(headers=ada.headers) as client,
        client.stream("GET", url) as answer,
    ):
        stream = EventSourceReader(answer)
        assert (await stream.next())[0] == "hello"
        [(_, expire)] = expiries
        expire()
        kind = ""
        while kind != "end":
            kind, event = await stream.next()
        assert event["data"]["code"] == 4401  # type: ignore[index]
        with pytest.raises(AssertionError, match="has ended"):
            await stream.next()
