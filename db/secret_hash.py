"""What is stored of secrets that the service itself makes: API keys, console codes and sessions."""

from __future__ import annotations

import hashlib


def secret_hash(secret: str) -> bytes:
    """SHA-256 of a secret, 32 bytes. The secrets are 256 random bits, which cannot be guessed, so a slow hash
    as for passwords would add nothing."""
    return hashlib.sha256(secret.encode()).digest()
