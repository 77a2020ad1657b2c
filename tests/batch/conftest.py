"""One small Ray for all tests of the Ray jobs, which ends with them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray

from batch.cluster import LOCAL, ray_session


@pytest.fixture(scope="package")
def ray_address(alone: None, s3_endpoint: str) -> Iterator[str]:
    """Address of a local Ray that this process is connected to; other processes may connect as well.

    Workers have the environment in which it started, so the S3 server is there before.
    """
    with ray_session(LOCAL):
        yield ray.get_runtime_context().gcs_address
