"""The certificates that come with httpx, read once per process: each client that does not look at the
environment reads them, which takes 20 ms."""

from __future__ import annotations

import functools
import ssl

import certifi
import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Share what httpx makes of them. Other callers may change their contexts, so they get new ones."""
    make = ssl.create_default_context
    patch = pytest.MonkeyPatch()

    @functools.cache
    def shared() -> ssl.SSLContext:
        return make(cafile=certifi.where())

    def create(purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH, **files: str | None) -> ssl.SSLContext:
        if purpose is ssl.Purpose.SERVER_AUTH and files == {"cafile": certifi.where()}:
            return shared()
        return make(purpose, **files)

    patch.setattr(ssl, "create_default_context", create)
    config.add_cleanup(patch.undo)
