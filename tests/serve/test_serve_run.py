"""The application started by Ray's own command, beside the deployed one."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.service import Service

pytestmark = pytest.mark.ray


@pytest.fixture
def prefix(service: Service) -> Iterator[str]:
    """Route prefix of a second application, started by `serve run`."""
    service.shell("serve run --non-blocking --name second --route-prefix /second serve_app.app:build_app")
    yield "/second"
    service.shell("python -c \"from ray import serve; serve.delete('second', _blocking=False)\"")


def test_serve_run_works_beside_the_deployed_application(
    prefix: str, service: Service, http: httpx.Client
) -> None:
    assert http.get(f"{prefix}/health").json() == http.get("/health").json()
    assert http.get(f"{prefix}/ready").status_code == 200
