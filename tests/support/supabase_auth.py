"""Supabase Auth's `GET /auth/v1/user` behind its gateway, as far as session checks use it."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import jwt

from tests.support import http_server

ANON_KEY = "anon-key-of-the-tests"


@dataclass
class SupabaseAuth:
    """Knows every session but those in `ended`. Set `status` or `body` to misbehave, clear `answers` to
    say nothing until it is set. asked: how often for each session."""

    url: str = ""
    ended: set[str] = field(default_factory=set)
    status: int | None = None
    body: bytes = b""
    answers: threading.Event = field(default_factory=threading.Event)
    asked: Counter[str] = field(default_factory=Counter)

    def answer(self, path: str, key: str | None, authorization: str) -> tuple[int, bytes]:
        """Status and body for a request."""
        claims = jwt.decode(authorization.removeprefix("Bearer "), options={"verify_signature": False})
        self.asked[claims["session_id"]] += 1
        self.answers.wait()
        if self.status is not None:
            return self.status, self.body
        if path != "/auth/v1/user":
            return 404, b'{"message": "no Route matched with those values"}'
        if key != ANON_KEY:
            # The answer of the gateway, not of Auth.
            return 401, b'{"message": "Invalid API key", "hint": "Double check your Supabase API key."}'
        if claims["session_id"] in self.ended:
            said = {"code": 403, "error_code": "session_not_found", "msg": "Session from session_id claim …"}
            return 403, json.dumps(said).encode()
        return 200, json.dumps({"id": claims["sub"], "aud": "authenticated"}).encode()


@contextmanager
def serving() -> Iterator[SupabaseAuth]:
    """A server on a free port of this machine."""
    auth = SupabaseAuth()
    auth.answers.set()

    class Handler(http_server.QuietHandler):
        def do_GET(self) -> None:
            status, body = auth.answer(self.path, self.headers["apikey"], self.headers["Authorization"])
            self.reply(status, body)

    with http_server.serving(Handler) as auth.url:
        try:
            yield auth
        finally:
            auth.answers.set()
