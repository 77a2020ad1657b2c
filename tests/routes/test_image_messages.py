"""Pictures in chats: only the sender's own, so that no other server learns who reads them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import httpx
import pytest

from semblance.settings import Settings
from semblance.storage.pictures import full_key, keys_of
from serve_app.realtime.frames import EventFrames, Recipient
from tests.support.api import Api, User
from tests.support.laden import portrait
from tests.support.photos import encoded
from tests.support.rows_chat import connect

_DAY = timedelta(days=1)


@pytest.fixture(params=["folder", "bucket"])
def api_settings(api_settings: Settings, request: pytest.FixtureRequest) -> Settings:
    if request.param == "folder":
        return api_settings
    url = f"{request.getfixturevalue('bucket')}/pictures"
    return api_settings.model_copy(update={"storage_url": url})


@dataclass(frozen=True, slots=True)
class PictureChat:
    """Ada and Bob, who are connected; Ada has a face and a baby, Bob a face."""

    api: Api
    ada: User
    bob: User
    connection: UUID
    face: str
    baby: str
    others: str
    """Keys."""

    async def send(self, content: str, message_type: str = "image") -> httpx.Response:
        body = {"connection_id": str(self.connection), "content": content, "message_type": message_type}
        return await self.api.client.post("/api/messages", json=body, headers=self.ada.headers)

    async def listed(self) -> list[str]:
        path = f"/api/messages/{self.connection}"
        answer = await self.api.client.get(path, headers=self.bob.headers)
        assert answer.status_code == 200, answer.text
        return [message["content"] for message in answer.json()["messages"]]

    def link(self, key: str) -> str:
        url = self.api.services.storage.signed_url(key, _DAY)
        return f"http://api{url}" if url.startswith("/") else url


@pytest.fixture
async def chat(api: Api) -> PictureChat:
    ada, bob = [await api.member(name) for name in ("Ada", "Bob")]
    connection = await connect(api.services.database, ada.id, bob.id)
    keys = full_key(f"faces/{ada.id}/{uuid4()}"), full_key(f"babies/{uuid4()}"), full_key(f"faces/{uuid4()}")
    execute = api.services.database.execute
    face = "INSERT INTO faces (profile_id, image_path) VALUES ($1, $2)"
    await execute(face, ada.id, keys[0])
    await execute(
        "INSERT INTO babies (match_id, generated_by_profile_id, image_url)"
        " SELECT match_id, $2, $3 FROM mutual_connections WHERE id = $1",
        connection, ada.id, keys[1],
    )  # fmt: skip
    await execute(face, bob.id, keys[2])
    return PictureChat(api, ada, bob, connection, *keys)


async def test_own_pictures_are_sent_by_address_or_key(chat: PictureChat) -> None:
    for key in (chat.face, chat.baby):
        for named in (key, *keys_of(key)):
            for content in (named, chat.link(named), chat.link(named).partition("?")[0]):
                answer = await chat.send(content)
                assert answer.status_code == 201, (content, answer.text)
                assert answer.json()["content"] == chat.link(key)
        stored = await chat.api.services.database.fetch("SELECT DISTINCT content FROM messages")
        assert [row["content"] for row in stored] == [key]
        assert set(await chat.listed()) == {chat.link(key)}
        await chat.api.owner.execute("DELETE FROM messages")
    told = await chat.api.client.get("/api/notifications", headers=chat.bob.headers)
    assert told.json()["notifications"][0]["message"] == "Sent you a picture"


async def test_nothing_else_is_sent(chat: PictureChat) -> None:
    await chat.api.services.database.execute(
        "INSERT INTO faces (profile_id, image_path) VALUES ($1, 'https://tracker.example/me.jpg')",
        chat.ada.id,
    )
    for content in (
        "https://tracker.example/a.jpg",
        "https://tracker.example/me.jpg",
        "http://127.0.0.1:8000/objects/a.jpg",
        "//tracker.example/a.jpg",
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        "file:///etc/passwd",
        "https://[::1/a.jpg",
        f"https://tracker.example/{chat.face}",
        f"{chat.face}?",
        f"../{chat.face}",
        chat.face.removesuffix(".full.jpg"),
        "x" * 4000,
        # Somebody else's, of a celebrity, and of nobody.
        chat.others,
        chat.link(chat.others),
        chat.link("celebrities/ab/ab.full.jpg"),
        chat.link("faces/nobody.full.jpg"),
    ):
        answer = await chat.send(content)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), content
        assert "tracker" not in answer.text
    assert await chat.api.services.database.fetchval("SELECT count(*) FROM messages") == 0


async def test_a_text_is_a_text(chat: PictureChat) -> None:
    for content in (chat.link(chat.face), "https://example.com", chat.others):
        assert (await chat.send(content, "text")).json()["content"] == content
    assert chat.others in await chat.listed()


async def test_older_messages_stay_readable(chat: PictureChat) -> None:
    old = ("https://old.host/a.jpg", "a path of no kind that is a key", chat.others)
    for content in old:
        await chat.api.services.database.execute(
            "INSERT INTO messages (connection_id, sender_id, content, message_type)"
            " VALUES ($1, $2, $3, 'image')",
            chat.connection, chat.ada.id, content,
        )  # fmt: skip
    assert set(await chat.listed()) == {*old[:2], chat.link(chat.others)}


async def test_the_list_of_connections_shows_an_address(chat: PictureChat) -> None:
    await chat.send(chat.face)
    answer = await chat.api.client.get("/api/connections", headers=chat.bob.headers)
    (connection,) = answer.json()["connections"]
    assert connection["last_message"]["content"] == chat.link(chat.face)
    assert connection["last_message"]["message_type"] == "image"


async def test_realtime_tells_an_address(chat: PictureChat) -> None:
    await chat.send(chat.face)
    events = await chat.api.services.db.events.since(0, 100)
    (event,) = [event for event in events if event.type == "message"]
    frame = EventFrames(
        event, chat.api.services.settings, chat.api.services.storage, chat.api.services.scale
    ).frame_for(Recipient(chat.bob.id, ["messages"], "http://api"))
    assert frame is not None
    assert chat.link(chat.face) in frame.text.replace("\\/", "/")


async def test_a_deleted_face_is_gone_from_the_chat_too(chat: PictureChat, api: Api) -> None:
    answer = await api.client.post(
        "/api/faces", files={"file": encoded(portrait())}, headers=chat.ada.headers
    )
    sent = await chat.send(answer.json()["image_url"])
    url = sent.json()["content"]
    async with httpx.AsyncClient() as outside:
        reader = api.client if url.startswith("http://api/") else outside
        assert (await reader.get(url)).status_code == 200
        deleted = await api.client.delete(f"/api/faces/{answer.json()['id']}", headers=chat.ada.headers)
        assert deleted.status_code == 204
        assert (await reader.get(url)).status_code == 404
