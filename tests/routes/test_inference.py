"""Suggested texts: from a message to a draft, and from a draft to a reply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from semblance.settings import Settings
from tests.support.api import API_KEY, CRON_SECRET, Api, User
from tests.support.realtime import serving
from tests.support.rows_chat import connect, want_texts
from tests.support.rows_texts import switch_search_on

CRON = {"Authorization": f"Bearer {CRON_SECRET}"}


@dataclass(frozen=True)
class TextChat:
    api: Api
    ada: User
    bob: User
    connection: UUID

    async def ask(self, content: str = "Hello?", **headers: str) -> httpx.Response:
        body = {"connection_id": str(self.connection), "content": content}
        return await self.api.client.post("/api/inference", json=body, headers=self.ada.headers | headers)

    async def get(self, path: str, user: User) -> Any:
        answer = await self.api.client.get(path, headers=user.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def drafts(self, user: User) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get("/api/inference/drafts", user))["drafts"]
        return found

    async def messages(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get(f"/api/messages/{self.connection}", self.ada))[
            "messages"
        ]
        return found

    async def work(self) -> dict[str, Any]:
        answer = await self.api.client.get("/api/cron/process-jobs", headers=CRON)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
def api_settings(api_settings: Settings) -> Settings:
    return api_settings.model_copy(update={"compat": "2025", "cors_origins": ("https://app.example",)})


@pytest.fixture
async def chat(api: Api) -> TextChat:
    ada, bob = await api.member("Ada"), await api.member("Bob", gender="male")
    connection = await connect(api.services.database, ada.id, bob.id)
    for user in (ada, bob):
        changed = await api.client.patch("/api/auth/me", json={"text_generation": True}, headers=user.headers)
        assert changed.json()["text_generation"] is True
    await want_texts(api.services.database)
    return TextChat(api, ada, bob, connection)


async def test_a_message_leads_to_a_draft_and_a_draft_to_a_reply(chat: TextChat) -> None:
    """The end-to-end script that was planned for it: sign in, enqueue, the row is there, a worker takes it,
    the message is updated."""
    asked = await chat.ask()
    assert asked.status_code == 202, asked.text
    job, message = asked.json()["job_id"], asked.json()["message_id"]
    assert asked.json()["status"] == "queued"
    (sent,) = await chat.messages()
    assert (sent["id"], sent["ai_status"], sent["in_reply_to"]) == (message, "queued", None)

    worked = await chat.work()
    assert worked["results"][-1]["status"] == "completed"
    state = await chat.get(f"/api/inference/{job}", chat.ada)
    assert (state["status"], state["attempts"], state["message_id"]) == ("completed", 1, message)
    (sent,) = await chat.messages()
    assert sent["ai_status"] == "completed"
    assert await chat.drafts(chat.ada) == []
    (draft,) = await chat.drafts(chat.bob)
    assert (draft["id"], draft["message_id"], draft["model"]) == (job, message, "local")
    assert "Ada" in draft["content"]

    path = f"/api/inference/drafts/{job}/send"
    body = {"content": "Hello, Ada!"}
    stolen = await chat.api.client.post(path, json=body, headers=chat.ada.headers)
    assert stolen.status_code == 404
    reply = await chat.api.client.post(path, json=body, headers=chat.bob.headers)
    assert reply.status_code == 201, reply.text
    assert (reply.json()["content"], reply.json()["in_reply_to"]) == ("Hello, Ada!", message)
    assert await chat.drafts(chat.bob) == []
    assert (await chat.api.client.post(path, json=body, headers=chat.bob.headers)).status_code == 404


async def test_a_draft_is_dismissed(chat: TextChat) -> None:
    job = (await chat.ask()).json()["job_id"]
    await chat.work()
    for expected in (204, 404):
        answer = await chat.api.client.delete(f"/api/inference/drafts/{job}", headers=chat.bob.headers)
        assert answer.status_code == expected
    assert await chat.drafts(chat.bob) == []


async def test_nothing_is_sent_unless_all_want_it(chat: TextChat) -> None:
    off = {"text_generation": None}
    await chat.api.client.patch("/api/auth/me", json=off, headers=chat.bob.headers)
    refused = await chat.ask()
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert await chat.messages() == []


async def test_a_key_is_for_one_message(chat: TextChat) -> None:
    key = {"Idempotency-Key": "k1"}
    first, again = await chat.ask(**key), await chat.ask(**key)
    assert first.json() == again.json()
    other = await chat.ask("Something else", **key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len(await chat.messages()) == 1


async def test_a_job_is_visible_to_the_one_who_asked(chat: TextChat) -> None:
    job = (await chat.ask()).json()["job_id"]
    for user, which in ((chat.bob, job), (chat.ada, uuid4())):
        answer = await chat.api.client.get(f"/api/inference/{which}", headers=user.headers)
        assert answer.status_code == 404
    assert (await chat.api.client.get(f"/api/inference/{job}")).status_code == 401


async def test_clients_set_neither_the_status_nor_what_a_message_answers(chat: TextChat) -> None:
    body = {"connection_id": str(chat.connection), "content": "Hi"}
    for field in ({"ai_status": "completed"}, {"in_reply_to": str(uuid4())}):
        for path in ("/api/messages", "/api/inference"):
            answer = await chat.api.client.post(path, json=body | field, headers=chat.ada.headers)
            assert answer.status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        {"connection_id": None, "content": "Hi", "model": "gpt-4", "stream": True},
        {"connectionId": None, "message": "Hi", "user": {"id": 1}},
        {"conversation_id": None, "text": "Hi", "idempotency_key": "k"},
    ],
)
async def test_the_planned_function_takes_unknown_fields(chat: TextChat, body: dict[str, Any]) -> None:
    body = {name: str(chat.connection) if value is None else value for name, value in body.items()}
    for _ in range(2):
        answer = await chat.api.client.post(
            "/functions/v1/enqueue-inference", json=body, headers=chat.ada.headers
        )
        assert answer.status_code == 202, answer.text
        assert set(answer.json()) == {"job_id", "message_id", "status"}
    assert len(await chat.messages()) == (1 if "idempotency_key" in body else 2)
    generator = "/functions/v1/embed-generator"
    assert (await chat.api.client.post(generator, json={}, headers=chat.ada.headers)).status_code == 401
    key = {"Authorization": f"Bearer {API_KEY}"}
    done = await chat.api.client.post(generator, json={"record": {"id": 1}}, headers=key)
    assert done.json()["success"] is True and done.json()["processed"] >= 1


async def test_a_browser_may_send_what_supabase_clients_send(chat: TextChat) -> None:
    answer = await chat.api.client.options(
        "/functions/v1/enqueue-inference",
        headers={
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, x-client-info, apikey, content-type",
        },
    )
    assert answer.status_code == 200, answer.text


async def test_admins_see_both_queues(chat: TextChat) -> None:
    root = await chat.api.member("root", role="admin")
    await chat.ask()
    stats = await chat.get("/api/admin/jobs/stats", root)
    assert stats["texts"]["pending"]["count"] == 1
    await chat.work()
    stats = await chat.get("/api/admin/jobs/stats", root)
    assert stats["texts"]["completed"]["count"] == 1
    assert "texts" not in stats["texts"]
    (day,) = (await chat.get("/api/admin/generations", root))["generations"]
    assert (day["kind"], day["provider"], day["model"]) == ("reply", "local", "local")


async def test_the_draft_is_told_to_its_reader_only(chat: TextChat) -> None:
    async with (
        serving(chat.api.app) as server,
        server.listen(chat.ada, channels="messages") as to_ada,
        server.listen(chat.bob, channels="messages") as to_bob,
    ):
        job = (await chat.ask()).json()["job_id"]
        await chat.work()
        told = [await to_ada.until("inference") for _ in range(3)]
        assert [event["data"]["status"] for event in told] == ["queued", "processing", "completed"]
        draft = (await to_bob.until("draft"))["data"]
        assert (draft["id"], draft["status"], draft["model"]) == (job, "ready", "local")
        assert "Ada" in draft["content"]
        assert await to_ada.quiet(0.1) and await to_bob.quiet(0.1)
        assert all(draft["content"] not in str(event) for event in told)


async def test_the_old_generator_of_vectors_drains_the_queue_whatever_it_is_sent(chat: TextChat) -> None:
    owner = chat.api.owner
    await switch_search_on(owner)
    said = await chat.api.client.patch("/api/auth/me", json={"bio": "I dance."}, headers=chat.ada.headers)
    assert said.status_code == 200
    sent = await chat.api.client.post(
        "/functions/v1/embed-generator",
        json={"type": "INSERT", "record": {"id": "x", "content": "; DROP TABLE profiles"}, "more": [1]},
        headers={"Authorization": f"Bearer {API_KEY}"},
    )
    assert sent.json() == {"success": True, "processed": 1}
    assert await owner.fetchval("SELECT profile_id FROM text_embeddings") == chat.ada.id
