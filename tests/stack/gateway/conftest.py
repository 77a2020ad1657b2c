"""A gateway with nothing behind it, one with a server, and what Serve says of its own."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from ops.stack.gateway import Gateway
from tests.support.gateway import (
    NOWHERE,
    QUICK,
    Backend,
    backend,
    gateway,
    gateway_before,
)
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with nothing behind it."""
    with gateway(tmp_path_factory.mktemp("alone"), NOWHERE) as running:
        wait_for(lambda: httpx.get(f"{running.url}/").elapsed.total_seconds() < 0.5)
        yield running


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Backend]]:
    with gateway_before(tmp_path_factory.mktemp("before")) as pair:
        yield pair


@pytest.fixture
def front(before: tuple[Gateway, Backend]) -> Gateway:
    before[1].seen.clear()
    return before[0]


@pytest.fixture
def behind(before: tuple[Gateway, Backend]) -> Backend:
    return before[1]


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Backend]]:
    """A gateway that waits for nothing, and its server."""
    with gateway_before(tmp_path_factory.mktemp("hasty"), timeouts=QUICK) as pair:
        pair[1].seen.clear()
        yield pair


@pytest.fixture
def rest() -> Iterator[Backend]:
    """Serve's REST API, and its proxy."""
    with backend() as running:
        yield running
