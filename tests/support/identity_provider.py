"""An identity provider for tests, whose keys are served by HTTP as by Supabase."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tests.support import http_server

Algorithm = Literal["RS256", "ES256"]


@dataclass
class IdentityProvider:
    """Answers GET / with the public keys. Set `status` or `body` to misbehave, clear `answers` to say nothing
    until it is set."""

    url: str = ""
    status: int = 200
    body: bytes | None = None
    answers: threading.Event = field(default_factory=threading.Event)
    requests: int = 0
    entries: list[dict[str, Any]] = field(default_factory=list)
    private: dict[str, tuple[Algorithm, Any]] = field(default_factory=dict)

    def add_key(self, kid: str, algorithm: Algorithm = "ES256") -> None:
        """Make a key pair and publish it."""
        if algorithm == "ES256":
            curve = ec.generate_private_key(ec.SECP256R1())
            public = ECAlgorithm.to_jwk(curve.public_key(), as_dict=True)
            self.private[kid] = algorithm, curve
        else:
            numbers = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            public = RSAAlgorithm.to_jwk(numbers.public_key(), as_dict=True)
            self.private[kid] = algorithm, numbers
        self.entries.append({**public, "kid": kid, "alg": algorithm, "use": "sig"})

    def withdraw(self, kid: str) -> None:
        """Stop publishing the key. It can still sign."""
        self.entries = [entry for entry in self.entries if entry["kid"] != kid]

    def token(self, kid: str, *, header: dict[str, Any] | None = None, **claims: object) -> str:
        """An access token signed by this key."""
        algorithm, key = self.private[kid]
        content = {
            "sub": str(uuid.uuid4()),
            "email": "ada@mit.edu",
            "aud": "authenticated",
            "exp": int(time.time()) + 3600,
            **claims,
        }
        return jwt.encode(content, key, algorithm=algorithm, headers={"kid": kid, **(header or {})})


@contextmanager
def serving() -> Iterator[IdentityProvider]:
    """A provider on a free port of this machine."""
    provider = IdentityProvider()
    provider.answers.set()

    class Handler(http_server.QuietHandler):
        def do_GET(self) -> None:
            provider.requests += 1
            provider.answers.wait()
            body = json.dumps({"keys": provider.entries}).encode() if provider.body is None else provider.body
            self.reply(provider.status, body)

    with http_server.serving(Handler) as url:
        provider.url = f"{url}/"
        try:
            yield provider
        finally:
            provider.answers.set()
