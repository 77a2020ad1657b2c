"""Two users from their first token to a chat, on the running service, over HTTP and WebSocket.

The same story is told twice: by plain requests, and by a client generated from the OpenAPI document.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.support.callers import Caller, GeneratedCaller, HttpCaller, generate_client
from tests.support.photos import ASTRONAUT, altered
from tests.support.service import Service
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.ray


class Listener:
    """The events one user receives, in order."""

    def __init__(self, url: str, token: str) -> None:
        self.events: list[dict[str, Any]] = []
        self._open = ExitStack()
        self._socket: ClientConnection = self._open.enter_context(
            connect(
                url.replace("http", "ws", 1) + "/api/realtime",
                additional_headers={"Authorization": f"Bearer {token}"},
            )
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for message in self._socket:
            self.events.append(json.loads(message))

    def wait(self, kind: str, fits: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """The data of the first matching event of this type; fails the test if none comes."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for event in list(self.events):
                if event["type"] == kind and fits(event["data"]):
                    data: dict[str, Any] = event["data"]
                    return data
            time.sleep(0.02)
        raise AssertionError(f"No {kind} among {[event['type'] for event in self.events]}")

    def close(self) -> None:
        self._open.close()
        self._thread.join(5)


def tells_of(kind: str) -> Callable[[dict[str, Any]], bool]:
    """Whether an event holds a notification of this type."""
    return lambda data: kind in {notification["type"] for notification in data["notifications"]}


class AppUser:
    """A user with their identity, their calls and their events."""

    def __init__(self, service: Service, caller: Callable[[str], Caller], email: str) -> None:
        self.token = service.run("token", "create", "--email", email).strip()
        self.api = caller(self.token)
        self.me = self.api.call("get_me")
        self.events = Listener(service.status["url"], self.token)

    @property
    def id(self) -> str:
        return str(self.me["id"])

    def wait_job(self, job_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            job: dict[str, Any] = self.api.call("read_job", job_id=job_id)
            if job["status"] in {"completed", "failed"}:
                return job
            time.sleep(0.1)
        raise AssertionError("The match job does not end.")

    def close(self) -> None:
        self.events.close()
        self.api.close()  # type: ignore[attr-defined]


@pytest.fixture(params=["http", "generated"])
def caller(request: pytest.FixtureRequest, service: Service, tmp_path: Path) -> Callable[[str], Caller]:
    """Makes a caller for a token."""
    url = service.status["url"]
    document = httpx.get(f"{url}/openapi.json").json()
    if request.param == "http":
        return lambda token: HttpCaller(url, document, token)
    generate_client(document, tmp_path)
    return lambda token: GeneratedCaller(url, document, token)


@pytest.fixture
def pair(service: Service, caller: Callable[[str], Caller]) -> Iterator[tuple[AppUser, AppUser]]:
    """Two people at a school that nobody else attends."""
    school = f"school-{uuid4().hex[:8]}.edu"
    ada, bob = (AppUser(service, caller, f"{name}@{school}") for name in ("ada", "bob"))
    yield ada, bob
    ada.close()
    bob.close()


def test_from_first_token_to_chat_and_back(  # noqa: PLR0915 - one story
    service: Service, pair: tuple[AppUser, AppUser]
) -> None:
    ada, bob = pair
    assert ada.me["school"] == bob.me["school"] != ""
    ada.api.call("update_me", body={"name": "Ada", "gender": "female"})
    bob.api.call("update_me", body={"name": "Bob", "gender": "male"})

    # Both upload a photo, get the match and are notified.
    face_a = ada.api.call("upload_face", 202, file=altered(ASTRONAUT))
    assert ada.wait_job(face_a["job_id"])["status"] == "completed"
    face_b = bob.api.call("upload_face", 202, file=ASTRONAUT.read_bytes())
    assert bob.wait_job(face_b["job_id"])["status"] == "completed"
    assert ada.api.call("get_me")["default_face_id"] == face_a["id"]
    assert httpx.get(face_a["image_url"]).headers["content-type"].startswith("image/")
    [match] = ada.api.call("list_matches_for_image", face_id=face_a["id"])["matches"]
    assert match["similarity_score"] >= 0.5
    for person in pair:
        person.events.wait("matches", lambda data: match["id"] in {one["id"] for one in data["matches"]})
    famous = ada.api.call("list_celebrity_matches", face_id=face_a["id"])["matches"]
    assert famous and all(entry["celebrity"]["gender"] == "male" for entry in famous)
    feed = ada.api.call("list_top_matches")["matches"]
    assert match["id"] in {entry["id"] for entry in feed}

    # Two likes open one connection, with a notification each and an icebreaker.
    ada.api.call("react", 201, match_id=match["id"], body={"reaction_type": "like"})
    assert ada.api.call("check_connection", body={"match_id": match["id"]})["exists"] is False
    bob.api.call("react", 201, match_id=match["id"], body={"reaction_type": "like"})
    bob.api.call("react", 409, match_id=match["id"], body={"reaction_type": "like"})
    for person in pair:
        person.events.wait("notifications", tells_of("mutual_match"))
    [connection] = ada.api.call("list_connections")["connections"]
    assert connection["other_user"]["name"] == "Bob"
    [icebreaker] = ada.api.call("list_messages", connection_id=connection["id"])["messages"]
    assert icebreaker["message_type"] == "icebreaker"

    # A chat.
    hello = {"connection_id": connection["id"], "content": "Hello, twin.", "message_type": "text"}
    sent = ada.api.call("send_message", 201, body=hello)
    heard = bob.events.wait("message", lambda data: data["id"] == sent["id"])
    assert heard["content"] == "Hello, twin."
    unread = bob.api.call("list_notifications", unread_only=True)
    assert {entry["type"] for entry in unread["notifications"]} == {"mutual_match", "new_message"}
    ada.api.call("read_message", 400, message_id=sent["id"])
    bob.api.call("read_message", message_id=sent["id"])
    bob.api.call("read_all_notifications")
    assert bob.api.call("list_notifications", unread_only=True)["unread_count"] == 0

    # A baby picture, of which the other user is notified.
    baby = ada.api.call("make_baby", 201, body={"match_id": match["id"]})
    assert httpx.get(baby["image_url"]).headers["content-type"].startswith("image/")
    bob.events.wait("notifications", tells_of("baby_generated"))
    assert ada.api.call("list_babies")["babies"][0]["id"] == baby["id"]

    # Blocking ends the chat in both directions.
    bob.api.call("update_connection", connection_id=connection["id"], body={"status": "blocked"})
    for person in pair:
        person.api.call("send_message", 403, body=hello)

    # Deleting the face deletes everything that refers to it.
    ada.api.call("delete_face", 204, face_id=face_a["id"])
    assert ada.api.call("get_me")["default_face_id"] is None
    assert ada.api.call("list_faces")["total"] == 0
    assert bob.api.call("list_matches_for_image", face_id=face_b["id"])["matches"] == []
    assert bob.api.call("list_connections", status="blocked")["total"] == 0
    assert httpx.get(face_a["image_url"]).status_code == 404
    assert httpx.get(baby["image_url"]).status_code == 404
    with psycopg.connect(service.status["database_url"]) as rows:
        for table in ("matches", "babies", "mutual_connections", "messages"):
            count = rows.execute(
                f"SELECT count(*) FROM {table} WHERE to_jsonb({table})::text LIKE %s", [f"%{match['id']}%"]
            ).fetchone()
            assert count == (0,), table

    # Presence follows the sockets.
    bob.events.close()
    deadline = time.monotonic() + PATIENCE_S
    with psycopg.connect(service.status["database_url"], autocommit=True) as rows:
        while rows.execute("SELECT last_seen FROM profiles WHERE id = %s", [bob.id]).fetchone() == (None,):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_the_smoke_test_passes_and_leaves_nothing(service: Service) -> None:
    with psycopg.connect(service.status["database_url"], autocommit=True) as rows:

        def count() -> list[object]:
            tables = ("faces", "matches", "mutual_connections", "messages", "babies", "notifications")
            return [rows.execute(f"SELECT count(*) FROM {table}").fetchone() for table in tables]

        before = count()
        tokens = [
            service.run("token", "create", "--email", f"{uuid4().hex[:8]}@smoke.edu").strip()
            for _ in range(2)
        ]
        shown = service.shell(
            f"SEMBLANCE_SMOKE_TOKEN={tokens[0]} SEMBLANCE_SMOKE_OTHER_TOKEN={tokens[1]}"
            ' semblance smoke "$SEMBLANCE_URL"'
        )
        assert "Baby picture" in shown and "failed" not in shown
        assert count() == before
