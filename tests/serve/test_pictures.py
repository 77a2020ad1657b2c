"""HEAD, conditional requests and ranges through the gateway and Serve."""

from __future__ import annotations

import httpx
import pytest

from tests.support.laden import assert_only_a_picture, laden, portrait
from tests.support.service import Service

pytestmark = pytest.mark.ray


def test_an_uploaded_picture_is_served_clean_and_can_be_kept(service: Service) -> None:
    token = service.run("token", "create", "--email", "pictures@clean.edu").strip()
    base = service.status["url"]
    answer = httpx.post(
        f"{base}/api/faces",
        headers={"Authorization": f"Bearer {token}"},
        files={"file": laden(portrait(3000), "HEIF")},
        timeout=60,
    )
    assert answer.status_code == 202, answer.text
    url = answer.json()["image_url"]
    whole = httpx.get(url)
    assert whole.headers["content-type"] == "image/jpeg"
    assert assert_only_a_picture(whole.content).size == (2048, 2048)
    head = httpx.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.content))
    assert head.headers["etag"] == whole.headers["etag"]
    assert httpx.get(url, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    part = httpx.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])


def test_head_passes_the_gateway(service: Service) -> None:
    base = service.status["url"]
    with httpx.Client() as client:
        for path in ("/health", "/ready", "/api/config", "/api/matches/top", "/docs", "/nowhere"):
            get, head = client.get(base + path), client.head(base + path)
            assert (head.status_code, head.content) == (get.status_code, b""), path
        token = service.run("token", "create", "--email", "head@clean.edu").strip()
        headers = {"Authorization": f"Bearer {token}"}
        assert client.head(f"{base}/api/realtime/events", headers=headers).status_code == 200
        # The connection is still usable.
        assert client.get(f"{base}/health").status_code == 200
