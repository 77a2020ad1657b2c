"""Storages of both kinds: a folder, and a bucket of an S3 server."""

from __future__ import annotations

from pathlib import Path

import pytest

from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.storage.store import Storage


@pytest.fixture
def local(tmp_path: Path) -> Storage:
    return open_storage(Settings(home=tmp_path))


@pytest.fixture
def remote(tmp_path: Path, bucket: str) -> Storage:
    return open_storage(Settings(home=tmp_path, storage_url=f"{bucket}/pictures"))


@pytest.fixture(params=["local", "remote"])
def storage(request: pytest.FixtureRequest) -> Storage:
    store: Storage = request.getfixturevalue(request.param)
    return store
