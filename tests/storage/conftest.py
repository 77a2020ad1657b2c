"""Fixtures of the tests of upkeep of the picture store; each module has its own `settings`."""

from __future__ import annotations

import pytest

from ops.storage.clean import Cleaned
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.storage.store import Storage
from tests.support.decoders import shared_decoder


@pytest.fixture(autouse=True)
def one_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """One decoding process is enough here. The command uses all cores, and starts its own processes."""
    monkeypatch.setattr("ops.storage.clean._AT_ONCE", 1)
    monkeypatch.setattr("ops.storage.clean.DecoderProcess", shared_decoder)


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return open_storage(settings)


@pytest.fixture
def results() -> list[Cleaned]:
    return []
