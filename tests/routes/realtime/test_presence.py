"""Who is online."""

from __future__ import annotations

import asyncio
import uuid

from semblance.settings import Settings
from serve_app.realtime.hub import Hub, Timing
from tests.support.api import Api, User
from tests.support.realtime import Server, connect_users, wait_for_presence


async def test_presence_over_two_replicas(
    api: Api, api_settings: Settings, server: Server, ada: User, bob: User
) -> None:
    services = api.services
    stranger = await api.member("Cleo")
    await connect_users(services.database, ada.id, bob.id)
    await connect_users(services.database, bob.id, stranger.id, status="blocked")
    other = Hub(api_settings, services.database, services.db, services.storage, services.scale)
    await other.start()
    async with (
        server.listen(ada, channels="presence") as to_ada,
        server.listen(stranger, channels="presence") as to_stranger,
    ):
        assert (await to_ada.hello())["data"]["online"] == []
        await to_stranger.hello()
        assert (await to_ada.next())["data"]["profile_id"] == str(ada.id)
        assert (await to_stranger.next())["data"]["profile_id"] == str(stranger.id)
        async with server.listen(bob, channels="presence") as here:
            assert (await here.hello())["data"]["online"] == [str(ada.id)]
            event = await to_ada.next()
            assert event["type"] == "presence"
            assert event["data"] == {"profile_id": str(bob.id), "online": True, "last_seen": None}
            async with other.join(bob.id, ["feed"], "http://x"):
                await here.connection.close()
                assert await to_ada.quiet()
        event = await to_ada.next()
        assert (event["data"]["profile_id"], event["data"]["online"]) == (str(bob.id), False)
        assert event["data"]["last_seen"] is not None
        assert await to_stranger.quiet()
    await wait_for_presence(services.database, ada, online=False)
    await other.close()
    assert await services.database.fetchval("SELECT count(*) FROM realtime_sessions") == 0


async def test_a_replica_that_is_gone_leaves_nobody_online(
    api: Api, api_settings: Settings, ada: User, bob: User
) -> None:
    services = api.services
    timing = Timing(beat=0.1)
    gone = Hub(api_settings, services.database, services.db, services.storage, services.scale, timing=timing)
    await gone.start()
    async with gone.join(ada.id, ["feed"], "http://x"):
        await wait_for_presence(services.database, ada, online=True)
        for task in gone._tasks:
            task.cancel()
        await asyncio.wait(gone._tasks)
        await services.database.execute("UPDATE realtime_replicas SET seen_at = now() - interval '50 s'")
        others = [
            Hub(api_settings, services.database, services.db, services.storage, services.scale, timing=timing)
            for _ in range(2)
        ]
        await asyncio.gather(*(hub.start() for hub in others))
        await wait_for_presence(services.database, ada, online=False)
        assert await services.database.fetchval(
            "SELECT last_seen > now() - interval '1 minute' FROM profiles WHERE id = $1", ada.id
        )
        # It was only asleep: it finds out at its next sign of life.
        gone._tasks = [asyncio.create_task(gone._keep_presence())]
        await wait_for_presence(services.database, ada, online=True)
    await wait_for_presence(services.database, ada, online=False)
    for hub in (gone, *others):
        await hub.close()


async def test_people_who_come_and_go_at_once_end_up_offline(
    api: Api, api_settings: Settings, ada: User
) -> None:
    services = api.services
    sessions = services.db.realtime_sessions
    replica = uuid.uuid4()
    await sessions.seen(replica)

    async def visit() -> None:
        for _ in range(10):
            session = uuid.uuid4()
            await sessions.open(session, ada.id, replica)
            assert await services.database.fetchval("SELECT online FROM profiles WHERE id = $1", ada.id)
            await sessions.close(session)

    await asyncio.gather(*(visit() for _ in range(6)))
    assert not await services.database.fetchval("SELECT online FROM profiles WHERE id = $1", ada.id)
    told = await services.database.fetch("SELECT payload FROM events WHERE type = 'presence' ORDER BY id")
    assert [row["payload"]["online"] for row in told] == [True, False] * (len(told) // 2)
