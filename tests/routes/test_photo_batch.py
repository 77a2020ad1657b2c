"""`POST /analyze-faces/batch`: several photos in one call, a result or an error for each."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from deployments.joined import asker_var
from semblance.errors import OverloadedError
from semblance.settings import Settings
from semblance.types import AnalyzedFace, Detection
from serve_app.limits import Client, FairShare
from tests.support.api import API_KEY, Api
from tests.support.photos import ASTRONAUT, NO_FACE, OBAMA, couple

KEY = {"Authorization": f"Bearer {API_KEY}"}
PATH = "/analyze-faces/batch"


async def send(api: Api, *photos: bytes, headers: dict[str, str] = KEY, **query: Any) -> httpx.Response:
    files = [("files", (f"{number}.jpg", photo)) for number, photo in enumerate(photos)]
    return await api.client.post(PATH, headers=headers, params=query, files=files)


async def results(api: Api, *photos: bytes, **query: Any) -> list[dict[str, Any]]:
    answer = await send(api, *photos, **query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


async def test_each_photo_has_a_result_or_an_error_in_order(api: Api) -> None:
    photos = (OBAMA.read_bytes(), b"no picture", NO_FACE.read_bytes(), b"", ASTRONAUT.read_bytes())
    found = await results(api, *photos)
    assert [None if each["error"] is None else each["error"]["code"] for each in found] == [
        None, "unreadable_image", None, "bad_input", None,
    ]  # fmt: skip
    assert [None if each["faces"] is None else len(each["faces"]) for each in found] == [1, None, 0, None, 1]
    assert found[0]["image"] == {"width": 910, "height": 1137}
    assert found[1]["image"] is None
    assert found[3]["error"]["error"] == "The photo is empty."


async def test_a_photo_is_answered_as_alone(api: Api) -> None:
    photos = (couple(), OBAMA.read_bytes())
    together = await results(api, *photos, max_faces=1)
    for photo, found in zip(photos, together, strict=True):
        alone = await api.client.post(
            "/analyze-faces", headers=KEY, params={"max_faces": 1}, files={"file": ("x", photo)}
        )
        assert {name: found[name] for name in ("faces", "image")} == alone.json()


async def test_json_is_the_same_as_a_form(api: Api) -> None:
    photos = (OBAMA.read_bytes(), b"no picture")
    body = {"images_base64": [base64.b64encode(photo).decode() for photo in photos]}
    answer = await api.client.post(PATH, headers=KEY, json=body)
    assert answer.json()["results"] == await results(api, *photos)


@pytest.mark.parametrize(
    "body",
    [
        {"files": {"file": ("x", b"x")}},
        {"data": {"files": "text"}, "files": {"file": ("x", b"x")}},
        {"json": {}},
        {"json": {"images_base64": []}},
        {"json": {"images_base64": "AAAA"}},
        {"json": {"images_base64": ["AAAA", 7]}},
        {"json": {"images_base64": ["AAAA", "?"]}},
        {"json": []},
    ],
)
async def test_a_body_without_photos_is_refused(api: Api, body: dict[str, Any]) -> None:
    answer = await api.client.post(PATH, headers=KEY, **body)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_input")


async def test_other_content_types_are_refused(api: Api) -> None:
    answer = await api.client.post(PATH, headers=KEY | {"Content-Type": "image/jpeg"}, content=b"x")
    assert answer.status_code == 415
    assert "images_base64" in answer.json()["error"]


async def test_it_takes_the_service_key(api: Api) -> None:
    assert (await send(api, b"x", headers={})).status_code == 401


class TestBatchLimits:
    @pytest.fixture
    def api_settings(self, api_settings: Settings) -> Settings:
        return api_settings.model_copy(
            update={"max_image_bytes": 100_000, "max_batch_photos": 3, "max_inflight": 4}
        )

    async def test_more_photos_than_one_call_takes_are_refused(self, api: Api) -> None:
        answer = await send(api, *[b"x"] * 4)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_input")
        assert "takes 3 photos; this one has 4" in answer.json()["error"]
        assert len(await results(api, *[b"x"] * 3)) == 3

    async def test_together_they_are_as_large_as_one(self, api: Api) -> None:
        assert (await send(api, b"x" * 80_000, b"x" * 80_000)).status_code == 413
        assert len(await results(api, b"x" * 40_000, b"x" * 40_000)) == 2

    async def test_a_photo_that_is_too_large_is_its_own_error(self, api: Api) -> None:
        found = await results(api, b"x" * 100_001, b"x")
        assert [each["error"]["code"] for each in found] == ["image_too_large", "unreadable_image"]

    async def test_each_photo_takes_a_slot_and_gives_it_back(self, api: Api) -> None:
        slots = api.app.state.limits.slots
        with slots.held(Client("user", "somebody"), 3):
            assert (await send(api, b"x", b"x")).status_code in {429, 503}
            assert len(await results(api, b"x")) == 1
        for _ in range(2):
            assert len(await results(api, b"x", b"x", b"x")) == 3

    async def test_a_failure_of_the_service_fails_the_whole_call(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def busy(data: bytes, max_faces: int | None = None) -> tuple[Detection, Sequence[AnalyzedFace]]:
            raise OverloadedError("Too many photos are waiting.")

        monkeypatch.setattr(api.services.faces, "analyze_photo", busy)
        answer = await send(api, b"x", b"")
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert "Retry-After" in answer.headers
        monkeypatch.undo()
        assert len(await results(api, b"x", b"x", b"x")) == 3


@pytest.mark.parametrize(
    ("limit", "share", "most"), [(64, 0.25, 48), (1, 0.25, 1), (4, 0.25, 3), (4, 0.5, 2), (4, 1, 4)]
)
def test_what_a_client_alone_can_have(limit: int, share: float, most: int) -> None:
    slots = FairShare(limit, share, what="Things")
    assert slots.most == most
    with slots.held(Client("key", ""), most):
        pass


async def test_photos_wait_as_those_of_their_client(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """By this, clients whose photos wait for the detector take turns."""
    askers = []

    async def noted(*_: object, **__: object) -> tuple[Detection, list[AnalyzedFace]]:
        askers.append(asker_var.get())
        raise OverloadedError("noted")

    monkeypatch.setattr(api.services.faces, "analyze_photo", noted)
    user = await api.member("ada")
    await api.client.post("/lookalikes", headers=KEY, files={"file": b"x"})
    await api.client.post("/api/faces", headers=user.headers, files={"file": b"x"})
    await send(api, b"x", b"y")
    key = Client("key", "")
    assert askers == [key, Client("user", str(user.id)), key, key]
