"""A whole stack for one benchmark, on a database that is there already, and access tokens of its users."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import httpx
import jwt

SIGNING_KEY = secrets.token_hex()


def environment(dsn: str, home: str, owner_dsn: str | None = None) -> dict[str, str]:
    """Settings of the API under measurement. owner_dsn: to migrate with, where that is another login."""
    settings = {
        "SEMBLANCE_HOME": home,
        "SEMBLANCE_DATABASE_URL": dsn,
        "SEMBLANCE_JWT_SECRET": SIGNING_KEY,
    }
    if owner_dsn is not None:
        settings["SEMBLANCE_OWNER_DATABASE_URL"] = owner_dsn
    return {**os.environ, **settings}


@contextmanager
def running_stack(dsn: str, owner_dsn: str | None = None) -> Iterator[str]:
    """The address of a whole stack, as `environment` sets it up."""
    semblance = Path(sys.executable).with_name("semblance")
    with tempfile.TemporaryDirectory(prefix="semblance-benchmark-") as home:

        def run(*arguments: str) -> str:
            return subprocess.run(
                [semblance, *arguments],
                env=environment(dsn, home, owner_dsn),
                check=True,
                capture_output=True,
                text=True,
            ).stdout

        run("up", "--detach")
        try:
            url = json.loads(run("status", "--json"))["url"]
            wait_for(url)
            yield url
        finally:
            run("down")


def wait_for(url: str) -> None:
    """Return once the feed is answered."""
    for _ in range(240):
        try:
            if httpx.get(f"{url}/api/matches/top", timeout=30).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.25)
    raise SystemExit("The API does not answer.")


def access_token(user_id: UUID, email: str) -> str:
    """A user's token for the API under measurement."""
    claims = {"sub": str(user_id), "email": email, "aud": "authenticated", "exp": 2**32}
    return jwt.encode(claims, SIGNING_KEY, algorithm="HS256")
