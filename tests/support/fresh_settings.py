"""Each test reads the settings that it sets, and not those of the test before."""

from __future__ import annotations

import pytest

from semblance.settings import get_settings


@pytest.fixture(autouse=True)
def fresh_settings() -> None:
    """The product reads its settings once a process."""
    get_settings.cache_clear()
