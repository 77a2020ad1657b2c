"""The client in TypeScript, in Node against the API."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from serve_app.realtime.subscription import RESTART
from tests.support.api import Api
from tests.support.realtime import add_message, connect_users, serving
from tests.support.waiting import PATIENCE_S
from tools.console import PACKAGES, SOURCES, find_tools

PROGRAM = Path(__file__).parents[1] / "support" / "chat.mjs"

BUNDLER = PACKAGES / "node_modules" / "rolldown" / "bin" / "cli.mjs"


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """The client as one module for Node."""
    if not BUNDLER.exists():
        pytest.skip("The console's packages are not installed: `make console`.")
    bundle = tmp_path / "client.mjs"
    entry = SOURCES / "src" / "client" / "index.ts"
    command = [*find_tools().node, str(BUNDLER), str(entry), "--format", "esm", "--file", str(bundle)]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_S)
    return bundle


async def test_messages_are_sent_and_heard_across_a_lost_connection(api: Api, module: Path) -> None:
    ada, bob = await api.member("Ada"), await api.member("Bob", gender="male")
    database = api.services.database
    connection = await connect_users(database, ada.id, bob.id)
    token = ada.headers["Authorization"].removeprefix("Bearer ")
    async with serving(api.app) as server:
        process = await asyncio.create_subprocess_exec(
            *find_tools().node,
            # Without a warning where the socket needs no flag any more.
            "--experimental-websocket",
            "--no-warnings",
            str(PROGRAM),
            module.as_uri(),
            server.http,
            token,
            str(connection),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        lines = process.stdout

        async def said() -> dict[str, Any]:
            async with asyncio.timeout(PATIENCE_S):
                answer: dict[str, Any] = json.loads(await lines.readline())
                return answer

        try:
            assert await said() == {"state": "open"}
            await add_message(database, connection, bob.id, "First")
            assert await said() == {"message": "First"}
            # As when a replica is restarted.
            for client in list(api.services.hub._by_profile[ada.id]):
                client.stop(RESTART)
            assert await said() == {"state": "lost"}
            await add_message(database, connection, bob.id, "Second")
            assert await said() == {"state": "open"}
            assert await said() == {"message": "Second"}
            told = [await said() for _ in range(3)]
            sent = next(line["sent"] for line in told if "sent" in line)
            assert (sent["content"], sent["sender_id"], sent["is_mine"]) == ("Third", str(ada.id), True)
            assert {"message": "Third"} in told
            refused = next(line for line in told if "code" in line)
            assert (refused["status"], refused["code"]) == (404, "not_found")
            process.stdin.write(b"\n")
            assert await said() == {"state": "closed"}
            async with asyncio.timeout(PATIENCE_S):
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
