"""Messages in a user's chats, found by what they mean and by their words."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx
import pytest

from semblance.errors import TextProviderBusyError
from serve_app.limits import SEARCHES_PER_MINUTE, Rate
from tests.support.api import Api, User
from tests.support.rows_chat import connect
from tests.support.rows_texts import say, want_messages_found

SAID = (
    "Shall we meet at the cinema on Saturday?",
    "My sister is a veterinarian.",
    "I have baked far too much bread.",
)


async def want(api: Api, user: User, on: bool | None) -> None:
    answer = await api.client.patch("/api/auth/me", json={"message_search": on}, headers=user.headers)
    assert answer.json()["message_search"] is bool(on)


async def search(api: Api, user: User, q: str, **more: Any) -> httpx.Response:
    return await api.client.get("/api/search/messages", params={"q": q, **more}, headers=user.headers)


async def found(api: Api, user: User, q: str, **more: Any) -> list[str]:
    answer = await search(api, user, q, **more)
    assert answer.status_code == 200, answer.text
    return [message["content"] for message in answer.json()["messages"]]


class SearchingPair:
    """Two users, what they said, and whether they want it found."""

    def __init__(self, api: Api, ada: User, bob: User, chat: UUID) -> None:
        self.api, self.ada, self.bob, self.chat = api, ada, bob, chat

    async def settle(self) -> None:
        await self.api.services.writer.process(1000)


@pytest.fixture
async def pair(api: Api) -> SearchingPair:
    ada, bob = await api.member("Ada"), await api.member("Bob", gender="male")
    chat = await connect(api.owner, ada.id, bob.id)
    for content in SAID:
        await say(api.owner, chat, bob.id, content)
    await want_messages_found(api.owner)
    return SearchingPair(api, ada, bob, chat)


async def test_messages_are_found_by_what_they_mean_once_both_want_it(api: Api, pair: SearchingPair) -> None:
    await want(api, pair.ada, True)
    await pair.settle()
    answer = (await search(api, pair.ada, "an animal doctor")).json()
    # Bob does not want it: nothing has been made of what he wrote.
    assert answer == {"messages": [], "by_meaning": True}
    await want(api, pair.bob, True)
    await pair.settle()
    for user in (pair.ada, pair.bob):
        assert (await found(api, user, "an animal doctor"))[0] == SAID[1]
        assert (await found(api, user, "watch a film together", limit=1)) == [SAID[0]]
    [message] = (await search(api, pair.ada, "watch a film", limit=1)).json()["messages"]
    assert (message["connection_id"], message["is_mine"]) == (str(pair.chat), False)
    await want(api, pair.bob, None)
    assert await found(api, pair.ada, "an animal doctor") == []


async def test_words_need_no_consent(api: Api, pair: SearchingPair) -> None:
    answer = (await search(api, pair.ada, "veterinarians")).json()
    assert [message["content"] for message in answer["messages"]] == [SAID[1]]
    assert answer["by_meaning"] is False
    assert await found(api, pair.ada, '"too much" -cinema') == [SAID[2]]
    # Neither are they anything to be found by where an admin has switched meaning off.
    await want(api, pair.ada, True)
    await want(api, pair.bob, True)
    await pair.settle()
    await api.owner.execute("UPDATE system_settings SET value = 'false' WHERE key = 'message_search'")
    answer = (await search(api, pair.ada, "an animal doctor")).json()
    assert answer == {"messages": [], "by_meaning": False}


async def test_only_messages_of_own_chats_are_found(api: Api, pair: SearchingPair) -> None:
    eve, carl = await api.member("Eve"), await api.member("Carl", gender="male")
    other = await connect(api.owner, eve.id, carl.id)
    await say(api.owner, other, carl.id, "My cat needs a veterinarian.")
    for user in (pair.ada, pair.bob, eve, carl):
        await want(api, user, True)
    await pair.settle()
    for q in ("veterinarian", "an animal doctor"):
        assert "My cat needs a veterinarian." not in await found(api, pair.ada, q)
        assert await found(api, eve, q) == ["My cat needs a veterinarian."]
    lonely = await api.member("Lonely")
    await want(api, lonely, True)
    assert await found(api, lonely, "veterinarian") == []


async def test_pictures_are_not_found(api: Api, pair: SearchingPair) -> None:
    await say(api.owner, pair.chat, pair.bob.id, "faces/veterinarian.jpg", "image")
    for user in (pair.ada, pair.bob):
        await want(api, user, True)
    await pair.settle()
    assert await found(api, pair.ada, "veterinarian jpg") != []
    assert all("jpg" not in content for content in await found(api, pair.ada, "veterinarian.jpg"))


async def test_the_end_of_a_long_message_is_found(api: Api, pair: SearchingPair) -> None:
    for user in (pair.ada, pair.bob):
        await want(api, user, True)
    long = "We talked about the weather, and about nothing else. " * 60 + "Then we adopted a kitten."
    await say(api.owner, pair.chat, pair.ada.id, long)
    await pair.settle()
    assert await api.owner.fetchval("SELECT max(chunk) FROM text_embeddings") >= 2
    # Once, by its best chunk.
    assert (await found(api, pair.bob, "a baby cat")).count(long) == 1


async def test_words_are_enough_while_no_vector_can_be_made(
    api: Api, pair: SearchingPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: str) -> Any:
        raise TextProviderBusyError("down")

    await want(api, pair.ada, True)
    monkeypatch.setattr(api.services.writer, "vector", broken)
    answer = (await search(api, pair.ada, "bread")).json()
    assert ([message["content"] for message in answer["messages"]], answer["by_meaning"]) == (
        [SAID[2]],
        False,
    )


@pytest.mark.parametrize(
    "q",
    [
        "' OR 1=1; --",
        '"unbalanced',
        "((( & | ! <-> :*",
        "-" * 200,
        "-(" * 100,
        "the of and",
        "%_\\",
        "-cinema",
    ],
)
async def test_whatever_is_asked_is_data(api: Api, pair: SearchingPair, q: str) -> None:
    assert set(await found(api, pair.ada, q)) <= set(SAID)


@pytest.mark.parametrize("params", [{}, {"q": " "}, {"q": "a" * 201}, {"q": "a", "limit": 51}])
async def test_queries_that_ask_nothing_or_too_much_are_refused(
    api: Api, pair: SearchingPair, params: dict[str, str]
) -> None:
    answer = await api.client.get("/api/search/messages", params=params, headers=pair.ada.headers)
    assert answer.status_code == 422
    assert (await api.client.get("/api/search/messages", params={"q": "a"})).status_code == 401


async def test_nobody_searches_more_than_a_person_types(api: Api, pair: SearchingPair) -> None:
    api.app.state.limits.searches = Rate(SEARCHES_PER_MINUTE, what="Too many searches", clock=lambda: 0.0)
    for _ in range(SEARCHES_PER_MINUTE):
        assert await found(api, pair.ada, "zzz") == []
    assert (await search(api, pair.ada, "zzz")).status_code == 429
