"""A suggested reply and a bio on the running service: the Writer takes the jobs by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.support.service import Service
from tests.support.waiting import PATIENCE_S

CONNECT = """
    WITH face AS (
        INSERT INTO faces (profile_id, image_path)
        SELECT id, 'faces/none.jpg' FROM unnest(%s::uuid[]) AS id
        RETURNING id, profile_id
    ),
    pair AS (
        INSERT INTO matches (face_a_id, face_b_id, similarity_score)
        SELECT least(a.id, b.id), greatest(a.id, b.id), .9
        FROM face AS a JOIN face AS b ON a.profile_id < b.profile_id
        RETURNING id
    )
    INSERT INTO mutual_connections (profile_a_id, profile_b_id, match_id)
    SELECT (%s::uuid[])[1], (%s::uuid[])[2], id FROM pair
    RETURNING id
"""

pytestmark = pytest.mark.ray


@pytest.fixture
def rows(service: Service) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """The database of the service, with suggested texts and the search switched on. Other tests expect them
    off."""
    switch = "UPDATE system_settings SET value = %s WHERE key IN ('text_generation', 'profile_search')"
    with psycopg.connect(service.status["database_url"], autocommit=True) as connection:
        connection.execute(switch, ["true"])
        yield connection
        connection.execute(switch, ["false"])


@pytest.fixture
def clients(service: Service) -> Iterator[list[httpx.Client]]:
    """Of two users of one school."""
    school = f"{uuid4().hex[:8]}.edu"
    with ExitStack() as opened:
        yield [
            opened.enter_context(
                httpx.Client(
                    base_url=service.status["url"],
                    headers={"Authorization": f"Bearer {token}"},
                    timeout=PATIENCE_S,
                )
            )
            for name in ("ada", "vera")
            if (token := service.run("token", "create", "--email", f"{name}@{school}").strip())
        ]


def test_the_writer_suggests_a_reply(
    rows: psycopg.Connection[tuple[object, ...]], clients: list[httpx.Client]
) -> None:
    ada, vera = clients
    ids = [
        client.patch("/api/auth/me", json={"text_generation": True}).raise_for_status().json()["id"]
        for client in clients
    ]
    found = rows.execute(CONNECT, [ids, ids, ids]).fetchone()
    assert found is not None
    asked = ada.post("/api/inference", json={"connection_id": str(found[0]), "content": "Hello?"})
    assert asked.status_code == 202, asked.text
    job = asked.json()["job_id"]
    assert (
        ada.get(f"/api/inference/{job}").raise_for_status().json()["message_id"] == asked.json()["message_id"]
    )
    deadline = time.monotonic() + PATIENCE_S
    while not (drafts := vera.get("/api/inference/drafts").raise_for_status().json()["drafts"]):
        assert time.monotonic() < deadline, "the Writer does not write"
        time.sleep(0.1)
    assert [(draft["id"], draft["model"]) for draft in drafts] == [(job, "local")]
    [message] = ada.get(f"/api/messages/{found[0]}").raise_for_status().json()["messages"]
    assert (message["id"], message["ai_status"]) == (asked.json()["message_id"], "completed")


@pytest.mark.usefixtures("rows")
def test_people_are_found_by_what_they_mean(clients: list[httpx.Client]) -> None:
    ada, vera = clients
    me = vera.patch("/api/auth/me", json={"bio": "I play the violin."}).raise_for_status().json()
    deadline = time.monotonic() + PATIENCE_S
    while True:
        answer = ada.get("/api/search/profiles", params={"q": "musician"}).raise_for_status().json()
        if answer["people"]:
            break
        assert time.monotonic() < deadline, "the Writer makes no vectors"
        time.sleep(1.5)  # Less would be more searches than one may make.
    assert answer["by_meaning"] is True
    assert [person["id"] for person in answer["people"]] == [me["id"]]
