"""The request id of an answer is in the log at once, not only when a buffer is full."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from semblance.settings import Settings
from semblance.storage.opening import open_storage
from tests.support.service import Service
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.ray


@contextmanager
def without_pictures(home: Path) -> Iterator[None]:
    """The picture store is no longer a folder."""
    objects, aside = home / "objects", home / "objects.aside"
    objects.rename(aside)
    objects.write_text("in the way")
    try:
        yield
    finally:
        objects.unlink()
        aside.rename(objects)


def files_with(text: str, home: Path) -> list[Path]:
    return [
        file
        for file in (home / "ray" / "sessions").rglob("*.log")
        if not file.is_symlink() and text in file.read_text(errors="replace")
    ]


def test_the_request_id_of_an_error_is_in_a_log_at_once(service: Service, http: httpx.Client) -> None:
    url = open_storage(Settings(home=service.home)).signed_url("faces/any.jpg", timedelta(minutes=5))
    with without_pictures(service.home):
        answer = http.get(url)
    assert answer.status_code == 503, answer.text
    assert answer.json()["code"] == "storage"
    assert str(service.home) not in answer.text
    request_id = answer.json()["request_id"]
    deadline = time.monotonic() + PATIENCE_S
    while not (found := files_with(request_id, service.home)):
        assert time.monotonic() < deadline, "the request id is in no log"
        time.sleep(0.1)
    # With the details that the answer omits.
    assert str(service.home / "objects") in found[0].read_text(errors="replace")
