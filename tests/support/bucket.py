"""A real S3 server on a free port, with one empty bucket per test."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from unittest import mock

import httpx
import pytest

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """URL of the server. The AWS_* variables name it for the whole session."""
    # Half a second to import, in each process that collects tests.
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    with mock.patch.dict(os.environ, {**CREDENTIALS, "AWS_ENDPOINT": endpoint}):
        yield endpoint
    server.stop()


@pytest.fixture
def bucket(s3_endpoint: str) -> str:
    """URL of an empty bucket, `s3://name`."""
    name = f"test-{uuid.uuid4().hex}"
    httpx.put(f"{s3_endpoint}/{name}").raise_for_status()
    return f"s3://{name}"
