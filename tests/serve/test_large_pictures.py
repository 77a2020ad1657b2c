"""Pictures at the documented limits, valid ones, through every hop of the running service."""

from __future__ import annotations

import base64
from uuid import uuid4

import httpx
import pytest

from semblance.settings import Settings
from tests.support.group import crowd, heavy_photo
from tests.support.service import Service

pytestmark = pytest.mark.ray

LIMIT = Settings().max_image_bytes
JPEG = {"Content-Type": "image/jpeg"}


def test_a_picture_of_the_largest_size_is_accepted_in_every_form(http: httpx.Client) -> None:
    photo = heavy_photo(LIMIT)
    assert len(photo) == LIMIT
    answers = [
        http.post("/analyze-face-advanced", files={"file": photo}),
        http.post("/analyze-face-advanced", content=photo, headers=JPEG),
        http.post("/analyze-face-advanced", json={"image_base64": base64.encodebytes(photo).decode()}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 3, [answer.text[:300] for answer in answers]
    assert answers[0].json() == answers[1].json() == answers[2].json()


def test_an_upload_of_the_largest_size_is_accepted(http: httpx.Client, service: Service) -> None:
    token = service.run("token", "create", "--email", f"ada@{uuid4().hex}.edu").strip()
    answer = http.post(
        "/api/faces", files={"file": heavy_photo(LIMIT)}, headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 202, answer.text
    assert answer.json()["faces_found"] >= 6


def test_one_byte_more_is_refused(http: httpx.Client) -> None:
    answer = http.post("/extract-embedding", content=heavy_photo(LIMIT + 1), headers=JPEG)
    assert (answer.status_code, answer.json()["code"]) == (413, "image_too_large")


def test_all_faces_of_a_crowd_are_analyzed(http: httpx.Client) -> None:
    """The crops of so many faces alone exceed gRPC's default limit of 4 MiB."""
    answer = http.post("/analyze-faces", files={"file": crowd()})
    assert answer.status_code == 200, answer.text
    assert 50 <= len(answer.json()["faces"]) <= 64
