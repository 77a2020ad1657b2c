"""Suggested texts as operators see them: who writes, how the queue is doing, and nothing of the texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deployments.writing.moderation import BLOCKED
from semblance.settings import Settings
from tests.support.api import Api, User
from tests.support.rows_chat import connect, want_texts

SECRET = "What I only say to you"


@pytest.fixture
def api_settings(api_settings: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    words = tmp_path / "words.txt"
    words.write_text("# ours\nfirst word\nsecond\n")
    changed: dict[str, Any] = {"text_blocked_words": words} | getattr(request, "param", {})
    return api_settings.model_copy(update=changed)


async def texts(api: Api, user: User) -> dict[str, Any]:
    answer = await api.client.get("/api/admin/texts", headers=user.headers)
    assert answer.status_code == 200, answer.text
    assert SECRET not in answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_templates_need_no_budget(api: Api) -> None:
    found = await texts(api, await api.member("Root", role="admin"))
    del found["queue"]
    assert found == {
        "model": None,
        "server": None,
        "daily_tokens": None,
        "moderation": "words",
        "blocked_words": len(BLOCKED) + 2,
        "embedding_model": None,
    }


@pytest.mark.parametrize(
    "api_settings",
    [
        {
            "text_url": "http://user:pass@127.0.0.1:1/v1",
            "text_model": "llama",
            "text_daily_tokens": 9,
            "text_moderation": "provider",
            "text_embedding_model": "vectors",
        }
    ],
    indirect=True,
)
async def test_a_model_is_named_with_its_host(api: Api) -> None:
    admin = await api.member("Root", role="admin")
    found = await texts(api, admin)
    assert (found["model"], found["server"], found["daily_tokens"]) == ("llama", "127.0.0.1", 9)
    assert found["moderation"] == "provider"
    words = api.services.settings.text_blocked_words
    assert words is not None
    words.unlink()
    assert (await texts(api, admin))["blocked_words"] is None


async def test_the_queue_is_counted_and_failures_have_reasons(api: Api) -> None:
    admin = await api.member("Root", role="admin")
    ada, bob = await api.member("Ada"), await api.member("Bob", gender="male")
    connection = await connect(api.services.database, ada.id, bob.id)
    await want_texts(api.services.database)
    for user in (ada, bob):
        await api.client.patch("/api/auth/me", json={"text_generation": True}, headers=user.headers)
    body = {"connection_id": str(connection), "content": SECRET}
    for _ in range(2):
        asked = await api.client.post("/api/inference", json=body, headers=ada.headers)
        assert asked.status_code == 202, asked.text
    assert (await texts(api, admin))["queue"]["pending"]["count"] == 2
    await api.owner.execute(
        """
        UPDATE inference_queue
        SET status = 'failed', attempts = 5, error_message = 'The server refused.', completed_at = now()
        """
    )
    queue = (await texts(api, admin))["queue"]
    assert (queue["pending"]["count"], queue["failed"]["count"]) == (0, 2)
    assert [(each["message"], each["count"]) for each in queue["failures"]] == [("The server refused.", 2)]


async def test_only_operators_see_it(api: Api) -> None:
    assert (await api.client.get("/api/admin/texts")).status_code == 401
    assert (await api.client.get("/api/admin/texts", headers=api.user().headers)).status_code == 403
