"""`POST /compare-photos`: two photos in one call, and what the answer says about their similarity."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.faces.pipeline import LocalPipeline
from semblance.settings import Settings
from serve_app.limits import Client
from tests.support.api import API_KEY, Api
from tests.support.calibrations import LEAST, MOST, RUNGS, write_calibration
from tests.support.photos import ASTRONAUT, BIDEN, GROUP, NO_FACE, OBAMA, OBAMA_2, altered

KEY = {"Authorization": f"Bearer {API_KEY}"}


@pytest.fixture
def api_settings(api_settings: Settings, pipeline: LocalPipeline, tmp_path: Path) -> Settings:
    """With a calibration that is known."""
    file = write_calibration(tmp_path / "known.json", pipeline.model)
    return api_settings.model_copy(update={"calibration": file})


def form(a: bytes, b: bytes) -> dict[str, Any]:
    return {"files": {"file_a": ("a", a), "file_b": ("b", b)}}


def document(a: bytes, b: bytes) -> dict[str, Any]:
    return {
        "json": {
            "image_a_base64": base64.b64encode(a).decode(),
            "image_b_base64": "data:image/jpeg;base64," + base64.urlsafe_b64encode(b).decode().rstrip("="),
        }
    }


async def post(api: Api, body: dict[str, Any], headers: dict[str, str] = KEY, **query: Any) -> httpx.Response:
    return await api.client.post("/compare-photos", headers=headers, params=query, **body)


async def compare(api: Api, a: Path | bytes, b: Path | bytes, **query: Any) -> dict[str, Any]:
    contents = (each if isinstance(each, bytes) else each.read_bytes() for each in (a, b))
    answer = await post(api, form(*contents), **query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_one_person_and_two(api: Api, pipeline: LocalPipeline) -> None:
    one, two = await compare(api, OBAMA, OBAMA_2), await compare(api, OBAMA, BIDEN)
    assert one["similarity"] > one["decision"]["threshold"] > two["similarity"]
    assert one["decision"]["threshold"] == pipeline.pack.threshold
    assert (one["decision"]["same_person"], two["decision"]["same_person"]) == (True, False)
    assert one["rarity"] == {"one_in": 100, "most": 100}
    assert two["rarity"]["one_in"] < 100
    assert LEAST <= two["probability"] < 0.5 < one["probability"] <= MOST
    assert one["model"] == {"pack": pipeline.model.pack, "digest": pipeline.model.digest}
    assert one["face_a"]["faces_found"] == one["face_b"]["faces_found"] == 1
    left, top, right, bottom = one["face_a"]["bbox"]
    assert 0 < left < right
    assert 0 < top < bottom


async def test_it_is_the_similarity_of_the_embeddings(api: Api) -> None:
    vectors = []
    for photo in (OBAMA, ASTRONAUT):
        answer = await api.client.post(
            "/extract-embedding", headers=KEY, files={"file": ("x", photo.read_bytes())}
        )
        vectors.append(answer.json()["embedding"])
    answer = await api.client.post(
        "/compare-faces", headers=KEY, json={"embedding_a": vectors[0], "embedding_b": vectors[1]}
    )
    compared = await compare(api, OBAMA, ASTRONAUT)
    assert compared["similarity"] == pytest.approx(answer.json()["similarity"], abs=2e-4)
    turned = await compare(api, ASTRONAUT, OBAMA)
    assert turned["similarity"] == pytest.approx(compared["similarity"], abs=1e-4)
    assert (turned["face_a"], turned["face_b"]) == (compared["face_b"], compared["face_a"])


async def test_form_and_json_are_the_same(api: Api) -> None:
    a, b = OBAMA.read_bytes(), altered(OBAMA)
    first, second = await post(api, form(a, b)), await post(api, document(a, b))
    assert first.status_code == second.status_code == 200, second.text
    assert first.json() == second.json()


async def test_the_largest_face_counts(api: Api) -> None:
    answer = await compare(api, GROUP, GROUP)
    assert answer["face_a"]["faces_found"] == 6
    assert answer["similarity"] == 1
    assert answer["decision"]["same_person"]


@pytest.mark.parametrize(
    ("rate", "threshold", "promised"),
    [(0.5, RUNGS[2], 0.5), (0.3, RUNGS[10], 0.1), (0.01, RUNGS[100], 0.01), (0.05, RUNGS[100], 0.01)],
)
async def test_decides_at_a_false_match_rate(
    api: Api, rate: float, threshold: float, promised: float
) -> None:
    answer = await compare(api, OBAMA, BIDEN, false_match_rate=rate)
    assert answer["decision"] == {
        "same_person": answer["similarity"] >= threshold,
        "threshold": threshold,
        "false_match_rate": promised,
    }


async def test_a_rate_that_is_not_supported_is_refused(api: Api) -> None:
    answer = await post(api, form(b"not", b"looked at"), false_match_rate=0.001)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_input")
    assert "0.01" in answer.json()["error"]


@pytest.mark.parametrize("rate", ["0", "1", "-0.1", "nan", "inf", "often"])
async def test_an_invalid_rate_is_refused(api: Api, rate: str) -> None:
    assert (await post(api, form(b"a", b"b"), false_match_rate=rate)).status_code == 422


PHOTO = OBAMA.read_bytes()


@pytest.mark.parametrize(
    ("body", "status", "code", "names"),
    [
        (lambda: form(PHOTO, NO_FACE.read_bytes()), 400, "no_face", "second"),
        (lambda: form(NO_FACE.read_bytes(), PHOTO), 400, "no_face", "first"),
        (lambda: form(PHOTO, b"no picture"), 415, "unreadable_image", ""),
        (lambda: form(b"no picture", PHOTO), 415, "unreadable_image", ""),
        (lambda: form(PHOTO, b""), 400, "bad_input", "empty"),
        (lambda: {"files": {"file_a": ("a", PHOTO)}}, 400, "bad_input", "file_b"),
        (lambda: {"files": {"file_b": ("a", PHOTO)}}, 400, "bad_input", "file_a"),
        (lambda: {"files": {"file": ("a", PHOTO), "file_b": ("b", PHOTO)}}, 400, "bad_input", "file_a"),
        (lambda: {"files": [("file_a", ("a", PHOTO))] * 3}, 400, "bad_input", ""),
        (lambda: {"json": {"image_a_base64": "AAAA"}}, 400, "bad_input", "image_b_base64"),
        (lambda: {"json": {"image_a_base64": "AAAA", "image_b_base64": "?"}}, 400, "bad_input", "image_b"),
        (lambda: {"json": {"image_a_base64": "AAAA", "image_b_base64": 7}}, 400, "bad_input", "image_b"),
        (lambda: {"json": [1]}, 400, "bad_input", "image_a_base64"),
        (lambda: {"content": PHOTO}, 415, "unreadable_image", "file_a"),
    ],
)
async def test_what_cannot_be_compared_is_named(
    api: Api, body: Callable[[], dict[str, Any]], status: int, code: str, names: str
) -> None:
    answer = await post(api, body())
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert names in answer.json()["error"]


async def test_a_photo_as_the_body_itself_is_refused(api: Api) -> None:
    """Other routes take it; two photos do not fit."""
    answer = await post(api, {"content": PHOTO}, KEY | {"Content-Type": "image/jpeg"})
    assert answer.status_code == 415


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nobody"}])
async def test_it_takes_the_service_key(api: Api, headers: dict[str, str]) -> None:
    assert (await post(api, form(PHOTO, PHOTO), headers)).status_code == 401
    user = await api.member("Ada")
    assert (await post(api, form(PHOTO, PHOTO), user.headers)).status_code == 401


class TestLimits:
    @pytest.fixture
    def api_settings(self, api_settings: Settings) -> Settings:
        return api_settings.model_copy(update={"max_image_bytes": 200_000, "max_inflight": 1})

    async def test_each_photo_and_both_are_limited(self, api: Api) -> None:
        small, large = b"x" * 100_000, b"x" * 200_001
        for a, b in ((small, large), (large, small)):
            answer = await post(api, form(a, b))
            # Both together are larger than a body may be, or one is larger than a photo may be.
            assert (answer.status_code, answer.json()["code"]) == (413, "image_too_large")
        answer = await post(api, form(b"x" * 160_000, b"x" * 160_000))
        assert answer.status_code == 413
        assert "request" in answer.json()["error"]
        assert (await post(api, form(small, small))).status_code == 415

    async def test_it_takes_a_slot_and_gives_it_back(self, api: Api) -> None:
        slots = api.app.state.limits.slots
        with slots.held(Client("key", "")):
            answer = await post(api, form(PHOTO[:1000], PHOTO[:1000]))
            assert answer.status_code in {429, 503}
            assert "Retry-After" in answer.headers
        for _ in range(2):
            assert (await post(api, form(b"a", b"b"))).status_code == 415


async def test_it_is_documented(api: Api) -> None:
    operation = (await api.client.get("/openapi.json")).json()["paths"]["/compare-photos"]["post"]
    content = operation["requestBody"]["content"]
    assert content["multipart/form-data"]["schema"]["required"] == ["file_a", "file_b"]
    assert content["application/json"]["schema"]["required"] == ["image_a_base64", "image_b_base64"]
    assert {"200", "400", "401", "413", "415", "422", "429", "503"} <= operation["responses"].keys()
