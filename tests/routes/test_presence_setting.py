"""Presence: who sees it, and that nobody sees it of users who hide it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from tests.support.api import Api, User
from tests.support.rows_feed import FeedPair, add_pair

SEEN = datetime.now(UTC) - timedelta(minutes=3)


@pytest.fixture
async def pair(api: Api, ada: User, bob: User) -> FeedPair:
    """The two, who have a match and a connection; Bob was seen."""
    pair = await add_pair(api.services.database, ada.id, bob.id)
    await api.services.database.execute(
        "INSERT INTO mutual_connections (profile_a_id, profile_b_id, match_id) VALUES ($1, $2, $3)",
        ada.id, bob.id, pair.match,
    )  # fmt: skip
    await api.services.db.presence.seen(bob.id, SEEN)
    return pair


async def show(api: Api, user: User, shown: object) -> httpx.Response:
    answer = await api.client.patch("/api/auth/me", json={"show_presence": shown}, headers=user.headers)
    assert answer.status_code == 200, answer.text
    return answer


async def person(api: Api, whose: User, viewer: User | None, path: str = "matches/top") -> dict[str, Any]:
    """A user as the feed, or another list of matches, shows them to a viewer."""
    headers = None if viewer is None else viewer.headers
    answer = await api.client.get(f"/api/{path}", headers=headers)
    assert answer.status_code == 200, answer.text
    [entry] = answer.json()["matches"]
    found: dict[str, Any] = next(side for side in entry["users"].values() if side["id"] == str(whose.id))
    return found


async def enter(api: Api, user: User) -> UUID:
    """A realtime connection of a user; returns its id."""
    session, replica = uuid4(), uuid4()
    await api.services.db.realtime_sessions.seen(replica)
    await api.services.db.realtime_sessions.open(session, user.id, replica)
    return session


async def told(api: Api) -> list[tuple[str, bool, bool]]:
    """Events of presence so far: the user, whether online, and whether a time of leaving is given."""
    rows = await api.owner.fetch("SELECT payload FROM events WHERE type = 'presence' ORDER BY id")
    await api.owner.execute("DELETE FROM events")
    return [
        (row["payload"]["profile_id"], row["payload"]["online"], row["payload"]["last_seen"] is not None)
        for row in rows
    ]


async def test_the_feed_shows_presence(api: Api, ada: User, bob: User, pair: FeedPair) -> None:
    for path in ("matches/top", f"matches/for-image?face_id={pair.face_a}", f"matches/user/{ada.id}"):
        shown = await person(api, bob, ada, path)
        assert (shown["online"], datetime.fromisoformat(shown["last_seen"])) == (False, SEEN)
    await enter(api, bob)
    assert (await person(api, bob, ada))["online"] is True
    assert (await person(api, ada, ada))["last_seen"] is None
    # Not to everybody on the internet.
    guest = await person(api, bob, None)
    assert (guest["online"], guest["last_seen"]) == (None, None)


@pytest.mark.parametrize("blocker", ["ada", "bob"])
async def test_not_to_blocked_connections(
    api: Api, ada: User, bob: User, pair: FeedPair, blocker: str
) -> None:
    await api.services.database.execute(
        "UPDATE mutual_connections SET status = 'blocked', blocked_by = $1",
        {"ada": ada, "bob": bob}[blocker].id,
    )
    shown = await person(api, bob, ada)
    assert (shown["online"], shown["last_seen"]) == (None, None)
    stranger = await api.member("Eve")
    assert (await person(api, bob, stranger))["last_seen"] is not None


async def test_hidden_presence_is_shown_nowhere(api: Api, ada: User, bob: User, pair: FeedPair) -> None:
    await enter(api, bob)
    await told(api)
    assert (await show(api, bob, False)).json()["show_presence"] is False
    # Users who saw Bob get the event of his leaving.
    assert await told(api) == [(str(bob.id), False, False)]

    hidden = await person(api, bob, ada)
    assert (hidden["online"], hidden["last_seen"]) == (False, None)
    connections = (await api.client.get("/api/connections", headers=ada.headers)).json()["connections"]
    assert connections[0]["other_user"]["last_seen"] is None
    assert await api.services.db.realtime_sessions.online_connections(ada.id) == []

    # Nothing is stored that could be shown.
    session = await enter(api, bob)
    await api.services.db.realtime_sessions.close(session)
    answer = await api.client.patch(
        "/api/presence", json={"last_seen": datetime.now(UTC).isoformat()}, headers=bob.headers
    )
    assert (answer.status_code, answer.json()) == (200, {"last_seen": None})
    assert await told(api) == []
    assert (await person(api, bob, ada))["last_seen"] is None

    # The first connection is still open.
    assert (await show(api, bob, True)).json()["show_presence"] is True
    assert await told(api) == [(str(bob.id), True, True)]
    assert (await person(api, bob, ada))["online"] is True


async def test_hidden_and_gone(api: Api, ada: User, bob: User, pair: FeedPair) -> None:
    await show(api, bob, False)
    await show(api, bob, None)
    shown = await person(api, bob, ada)
    assert shown["online"] is False
    assert datetime.fromisoformat(shown["last_seen"]) > SEEN
    assert await told(api) == []


async def test_end_users_cannot_read_it_past_the_api(api: Api, ada: User, bob: User, pair: FeedPair) -> None:
    """By PostgREST or a subscription they get the row, as far as they may."""

    def read(connection: psycopg.Connection, columns: str) -> object:
        with connection.transaction(force_rollback=True):
            connection.execute(
                "SELECT set_config('request.jwt.claims', %s, true)", [f'{{"sub": "{ada.id}"}}']
            )
            connection.execute("SET LOCAL ROLE authenticated")
            return connection.execute(f"SELECT {columns} FROM profiles WHERE id = %s", [bob.id]).fetchone()

    with psycopg.connect(api.dsn, autocommit=True) as connection:
        assert read(connection, "last_seen") == (SEEN,)
        await show(api, bob, False)
        assert read(connection, "last_seen") == (None,)
        for column in ("online", "show_presence", "school_id", "school_key"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                read(connection, column)
        # Not even the owner can store what is hidden.
        connection.execute("UPDATE profiles SET last_seen = now(), online = true WHERE id = %s", [bob.id])
        assert read(connection, "last_seen") == (None,)


@pytest.mark.parametrize("value", ["no", 0, 1, "false", [], {}])
async def test_an_invalid_value_is_refused(api: Api, bob: User, value: object) -> None:
    answer = await api.client.patch("/api/auth/me", json={"show_presence": value}, headers=bob.headers)
    assert answer.status_code == 422


async def test_coming_and_going_does_not_write_the_row_of_a_user_who_hides_it(api: Api, bob: User) -> None:
    """On Supabase their contacts may subscribe to the row, and hear of each write."""
    await show(api, bob, False)
    written = "SELECT xmin::text || ctid::text FROM profiles WHERE id = $1"
    before = await api.owner.fetchval(written, bob.id)
    session = await enter(api, bob)
    answer = await api.client.patch(
        "/api/presence", json={"last_seen": SEEN.isoformat()}, headers=bob.headers
    )
    assert answer.json() == {"last_seen": None}
    await api.services.db.realtime_sessions.close(session)
    assert await api.owner.fetchval(written, bob.id) == before
