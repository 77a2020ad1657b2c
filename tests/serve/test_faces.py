"""The face-compute endpoints over HTTP, on the real stack with real photos."""

from __future__ import annotations

import base64
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import pytest
from PIL import Image, ImageFilter

from ops.stack.home import StackHome
from semblance.settings import Settings
from tests.support import wide_photos
from tests.support.gallery import FRIENDS, PROBES, WOMEN
from tests.support.photos import (
    ASTRONAUT,
    GROUP,
    HANKS,
    MASKS,
    NO_FACE,
    OBAMA,
    OBAMA_2,
    OBAMA_CUT,
    OBAMA_RGBA,
    couple,
    encoded,
)
from tests.support.service import Service

pytestmark = pytest.mark.ray

LIMIT = Settings().max_image_bytes


@pytest.fixture(scope="session")
def wide_gallery(service: Service) -> None:
    """The running service with the gallery of the wide set added."""
    service.run("ingest", str(wide_photos.GALLERY))


def post(http: httpx.Client, path: str, data: bytes, **params: str | int) -> httpx.Response:
    return http.post(path, files={"file": ("photo", data)}, params=params)


def people(stem: str) -> set[str]:
    """`kit-harington+rose-leslie` and `barack-obama-3` name people by their gallery names."""
    names = [part.rstrip("0123456789").rstrip("-") for part in stem.split("+")]
    return {name.replace("-", " ") for name in names}


@pytest.mark.parametrize("probe", PROBES)
def test_probe_is_nearest_to_the_person_it_shows(http: httpx.Client, probe: str) -> None:
    name, picture = PROBES[probe]
    matches = post(http, "/lookalikes", picture(), limit=1).json()["matches"]
    assert [match["name"] for match in matches] == [name]


@pytest.mark.photos
@pytest.mark.usefixtures("wide_gallery")
@pytest.mark.parametrize("photo", wide_photos.PROBES, ids=lambda path: path.name)
def test_probe_is_nearest_to_the_person_it_names(http: httpx.Client, photo: Path) -> None:
    expected = people(photo.stem)
    answer = post(http, "/analyze-faces", photo.read_bytes()).json()
    assert len(answer["faces"]) >= len(expected)
    found = set()
    for face in answer["faces"][: len(expected)]:
        x1, y1, x2, y2 = face["bbox"]
        margin = 0.4 * max(x2 - x1, y2 - y1)
        with Image.open(photo) as image:
            crop = image.convert("RGB").crop((x1 - margin, y1 - margin, x2 + margin, y2 + margin))
        buffer = io.BytesIO()
        crop.save(buffer, "PNG")
        picture = photo.read_bytes() if len(expected) == 1 else buffer.getvalue()
        matches = post(http, "/lookalikes", picture, limit=1).json()["matches"]
        found.add(matches[0]["name"].lower().replace("-", " "))
    assert found == expected


def turned(angle: int) -> bytes:
    """`ASTRONAUT` turned to the left, without an orientation in the file."""
    with Image.open(ASTRONAUT) as image:
        return encoded(image.convert("RGB").rotate(angle, expand=True), quality=95)


def blurred() -> bytes:
    with Image.open(OBAMA) as image:
        return encoded(image.filter(ImageFilter.GaussianBlur(40)))


def sixteen_bits() -> bytes:
    with Image.open(OBAMA) as image:
        grey = np.asarray(image.convert("L"), np.uint16) * 257
    return encoded(Image.fromarray(grey), "PNG")


def converted(mode: str, file_format: str) -> bytes:
    with Image.open(OBAMA) as image:
        return encoded(image.convert(mode), file_format)


# The number of faces that must be found, at least and at most.
MADE = {
    "group": (GROUP.read_bytes, 6, 6),
    "couple": (couple, 2, 2),
    "rgba": (OBAMA_RGBA.read_bytes, 1, 1),
    "cut at the left": (OBAMA_CUT[0].read_bytes, 0, 1),
    "cut at the right": (OBAMA_CUT[1].read_bytes, 0, 1),
    "nothing but a face": (HANKS.read_bytes, 0, 1),
    "blurred": (blurred, 0, 1),
    "turned": (lambda: turned(90), 1, 1),
    "upside down": (lambda: turned(180), 1, 1),
    "cmyk": (lambda: converted("CMYK", "JPEG"), 1, 1),
    "palette": (lambda: converted("P", "PNG"), 1, 1),
    "grey": (lambda: converted("L", "JPEG"), 1, 1),
    "16 bits": (sixteen_bits, 1, 1),
    **{mask.stem: (mask.read_bytes, 0, 0) for mask in MASKS},
}


@pytest.mark.parametrize("picture", MADE)
def test_odd_picture_gets_a_correct_answer(http: httpx.Client, picture: str) -> None:
    data, at_least, at_most = MADE[picture]
    check_answer(http, data(), at_least, at_most)


# What a person sees in each picture.
FACES_IN_HARD = {
    "cartoon.jpg": (0, 1),
    "blur.jpg": (0, 1),
    "no-face.png": (0, 0),
    "two-people.jpg": (2, 2),
    "office1.jpg": (1, 20),
    "office2.jpg": (1, 20),
    "office3.jpg": (1, 20),
    "office4.jpg": (1, 20),
    "office5.jpg": (1, 20),
    "partial-face-1.jpg": (0, 1),
    "partial-face-2.jpg": (0, 1),
}


@pytest.mark.photos
@pytest.mark.parametrize("photo", wide_photos.HARD, ids=lambda path: path.name)
def test_hard_picture_gets_a_correct_answer(http: httpx.Client, photo: Path) -> None:
    check_answer(http, photo.read_bytes(), *FACES_IN_HARD.get(photo.name, (1, 1)))


def check_answer(http: httpx.Client, data: bytes, at_least: int, at_most: int) -> None:
    answer = post(http, "/analyze-faces", data)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert at_least <= len(body["faces"]) <= at_most
    size = body["image"]
    for face in body["faces"]:
        x1, y1, x2, y2 = face["bbox"]
        assert x1 < x2 and y1 < y2
        assert -0.2 * size["width"] <= x1 and x2 <= 1.2 * size["width"]
        assert np.linalg.norm(face["embedding"]) == pytest.approx(1, abs=1e-5)
    single = post(http, "/analyze-face-advanced", data)
    assert single.status_code == (200 if body["faces"] else 400)
    assert single.json()["face_detected"] is bool(body["faces"])


def test_rotated_copies_are_one_face(http: httpx.Client) -> None:
    check_rotated(http, [turned(angle) for angle in (0, 90, 180, 270)])


@pytest.mark.photos
def test_rotated_copies_of_the_wide_set_are_one_face(http: httpx.Client) -> None:
    files = [wide_photos.hard(f"rotate-rot-{angle}.jpg") for angle in (0, 90, 180, 270)]
    check_rotated(http, [file.read_bytes() for file in files])


def check_rotated(http: httpx.Client, pictures: list[bytes]) -> None:
    answers = [post(http, "/extract-embedding", picture).json() for picture in pictures]
    upright, *others = [np.array(answer["embedding"]) for answer in answers]
    assert all(float(upright @ other) > 0.8 for other in others)


def test_extract_embedding_accepts_form_and_json(http: httpx.Client) -> None:
    data = OBAMA_2.read_bytes()
    form = post(http, "/extract-embedding", data)
    text = base64.b64encode(data).decode()
    plain = http.post("/extract-embedding", json={"image_base64": text})
    url = http.post("/extract-embedding", json={"image_base64": f"data:image/png;base64,{text}"})
    assert form.status_code == plain.status_code == url.status_code == 200
    assert form.json() == plain.json() == url.json()
    body = form.json()
    assert body["face_detected"] is True
    assert len(body["embedding"]) == 512
    assert len(body["bbox"]) == 4 and body["bbox"][2] > 0
    assert 0.5 <= body["confidence"] <= 1


def test_no_face_is_the_contract_answer(http: httpx.Client) -> None:
    answer = post(http, "/extract-embedding", NO_FACE.read_bytes())
    assert answer.status_code == 400
    body = answer.json()
    assert body["face_detected"] is False
    assert body["error"] == "No face detected in image"
    assert body["code"] == "no_face"
    assert body["request_id"] == answer.headers["x-request-id"]


def test_full_face_has_every_field_of_the_contract(http: httpx.Client, service: Service) -> None:
    face = post(http, "/analyze-face-advanced", OBAMA_2.read_bytes()).json()
    assert set(face) == {
        "face_detected", "embedding", "bbox", "confidence", "age", "gender", "landmarks_68", "pose",
        "quality", "symmetry_score", "skin_tone", "expression", "geometry", "model",
    }  # fmt: skip
    assert set(face["pose"]) == {"yaw", "pitch", "roll"}
    assert set(face["quality"]) == {"blur_score", "illumination", "overall", "advice"}
    assert set(face["expression"]["emotions"]) == {
        "happy", "neutral", "sad", "angry", "surprise", "fear", "disgust",
    }  # fmt: skip
    assert sum(face["expression"]["emotions"].values()) == pytest.approx(1, abs=1e-3)
    lightness, a, b = face["skin_tone"]["dominant_color_lab"]
    assert 0 <= lightness <= 100 and abs(a) < 128 and abs(b) < 128
    assert face["model"]["pack"] == "open" and len(face["model"]["digest"]) == 64


def test_exif_rotated_photo_gives_boxes_of_the_upright_image(http: httpx.Client) -> None:
    photo = OBAMA_2
    with Image.open(photo) as image:
        upright = image.convert("RGB")
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(buffer, "JPEG", quality=95, exif=exif)
    turned = post(http, "/analyze-faces", buffer.getvalue()).json()
    straight = post(http, "/analyze-faces", photo.read_bytes()).json()
    assert turned["image"] == straight["image"]
    np.testing.assert_allclose(
        turned["faces"][0]["bbox"], straight["faces"][0]["bbox"], atol=0.02 * upright.width
    )


@pytest.mark.parametrize("suffix", ["PNG", "WEBP", "BMP", "TIFF", "AVIF", "HEIF"])
def test_every_promised_format_is_read(http: httpx.Client, suffix: str) -> None:
    photo = OBAMA_2
    buffer = io.BytesIO()
    with Image.open(photo) as image:
        image.convert("RGB").save(buffer, suffix)
    assert post(http, "/extract-embedding", buffer.getvalue()).status_code == 200


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"not a picture", {}, 415, "unreadable_image"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 64, {}, 415, "unreadable_image"),
        (b"GIF89a" + b"\0" * 64, {}, 415, "unreadable_image"),
        (b"", {}, 400, "bad_input"),
        (b"\xff" * (LIMIT + 1), {}, 413, "image_too_large"),
        (b"\xff" * (2 * LIMIT), {}, 413, "image_too_large"),
        (b"not a picture", {"Authorization": "Bearer wrong"}, 401, "unauthorized"),
        (b"not a picture", {"Authorization": ""}, 401, "unauthorized"),
    ],
    # Of the bytes themselves, an id would have 200 MB.
    ids=["text", "png", "gif", "nothing", "too-long", "far-too-long", "wrong-key", "no-key"],
)
def test_bad_pictures_get_clear_errors(
    http: httpx.Client, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = http.post("/extract-embedding", files={"file": ("x", body)}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["error"] and answer.json()["request_id"]


def test_a_bad_picture_is_not_a_failure_of_a_deployment(service: Service, http: httpx.Client) -> None:
    request_id = str(uuid4())
    for body in (b"not a picture", b"\xff" * (LIMIT + 1)):
        answer = http.post(
            "/extract-embedding", files={"file": ("x", body)}, headers={"X-Request-ID": request_id}
        )
        assert answer.json()["request_id"] == request_id
    logs = (StackHome(service.home).ray_sessions / "session_latest" / "logs" / "serve").glob("replica_*.log")
    lines = [line for log in logs for line in log.read_text().splitlines() if request_id in line]
    assert not [line for line in lines if json.loads(line)["levelname"] in {"WARNING", "ERROR"}]


@pytest.mark.parametrize(
    ("request_body", "status"),
    [
        ({"content": b"{}", "headers": {"Content-Type": "application/json"}}, 400),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"json": {"image_base64": "%%%"}}, 400),
        ({"json": {"image_base64": 7}}, 400),
        ({"data": {"other": "field"}}, 415),
        ({"files": {"other": b"x"}}, 400),
        ({"content": b"x", "headers": {"Content-Type": "text/plain"}}, 415),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400),
        ({}, 415),
    ],
)
def test_requests_without_a_picture(http: httpx.Client, request_body: dict[str, object], status: int) -> None:
    answer = http.post("/analyze-faces", **request_body)  # type: ignore[arg-type]
    assert answer.status_code == status, answer.text
    assert set(answer.json()) >= {"error", "code", "request_id"}


@pytest.mark.parametrize(
    ("a", "b", "status"),
    [
        ([1.0, 0.0], [1.0, 0.0], 200),
        ([1.0, 0.0], [-3.0, 0.0], 200),
        ([1e300, 1e300], [1e-300, 1e-300], 200),
        ([1.0], [1.0, 2.0], 400),
        ([0.0, 0.0], [1.0, 2.0], 400),
        ([1.0, 2.0], "text", 422),
        ([], [], 422),
    ],
)
def test_compare_faces(http: httpx.Client, a: object, b: object, status: int) -> None:
    answer = http.post("/compare-faces", json={"embedding_a": a, "embedding_b": b})
    assert answer.status_code == status, answer.text
    if status == 200:
        body = answer.json()
        assert abs(body["similarity"]) == pytest.approx(1)
        assert body["distance"] == pytest.approx(1 - body["similarity"])


def test_compare_faces_refuses_values_that_are_not_finite(http: httpx.Client) -> None:
    answer = http.post(
        "/compare-faces",
        content=b'{"embedding_a": [NaN, 1], "embedding_b": [1, Infinity]}',
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 400


def test_lookalikes_filters_and_pictures(http: httpx.Client, service: Service) -> None:
    data = OBAMA_2.read_bytes()
    everyone = post(http, "/lookalikes", data).json()["matches"]
    assert everyone[0]["name"] == "Barack Obama"
    assert len(everyone) >= 9
    similarities = [match["similarity"] for match in everyone]
    assert similarities == sorted(similarities, reverse=True)
    women = post(http, "/lookalikes", data, gender="female", limit=20).json()["matches"]
    assert {match["gender"] for match in women} == {"female"}
    assert {match["name"] for match in women} >= WOMEN
    actors = post(http, "/lookalikes", data, category="actors", limit=3).json()["matches"]
    assert len(actors) == 3 and {match["category"] for match in actors} == {"actors"}
    friends = post(http, "/lookalikes", data, category="actors", limit=20).json()["matches"]
    assert {match["name"] for match in friends} >= set(FRIENDS)
    url = everyone[0]["image_url"]
    picture = httpx.get(httpx.URL(service.status["url"]).join(url))
    assert picture.status_code == 200
    assert picture.headers["content-type"].startswith("image/")
    Image.open(io.BytesIO(picture.content)).verify()
    assert httpx.get(httpx.URL(service.status["url"]).join(url + "0")).status_code == 403
    assert post(http, "/lookalikes", data, limit=0).status_code == 422
    assert post(http, "/lookalikes", data, gender="robot").status_code == 422


def test_health_ready_and_documents_need_no_key(service: Service) -> None:
    base = service.status["url"]
    assert httpx.get(f"{base}/health").json() == {"status": "healthy", "model": "open"}
    ready = httpx.get(f"{base}/ready")
    assert ready.status_code == 200, ready.text
    assert set(ready.json()["checks"]) == {
        "database", "storage", "queue", "detector", "embedder", "analyzer", "matcher",
    }  # fmt: skip
    assert "swagger-ui" in httpx.get(f"{base}/docs").text
    paths = httpx.get(f"{base}/openapi.json").json()["paths"]
    assert {"/lookalikes", "/extract-embedding", "/analyze-faces"} <= set(paths)
    unknown = httpx.get(f"{base}/nothing-here")
    assert unknown.status_code == 404
    assert set(unknown.json()) == {"error", "code", "request_id"}


def test_requests_beyond_the_limit_are_asked_to_retry(service: Service) -> None:
    data = OBAMA_2.read_bytes()
    with service.client() as http, ThreadPoolExecutor(150) as pool:
        answers = list(pool.map(lambda _: post(http, "/extract-embedding", data), range(150)))
    refused = [answer for answer in answers if answer.status_code != 200]
    assert 0 < len(refused) < len(answers)
    for answer in refused:
        # All come from one client, which reaches its own limit first.
        assert (answer.status_code, answer.json()["code"]) in {
            (429, "too_many_requests"),
            (503, "overloaded"),
        }
        assert int(answer.headers["retry-after"]) >= 1


def test_compare_photos(http: httpx.Client) -> None:
    """Through the gateway and the deployments. Other tests check its content."""
    files = {"file_a": ("a", OBAMA.read_bytes()), "file_b": ("b", OBAMA_2.read_bytes())}
    answer = http.post("/compare-photos", files=files, params={"false_match_rate": 0.5})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["decision"]["same_person"]
    assert body["rarity"]["one_in"] == body["rarity"]["most"] > 1
    assert 0.5 < body["probability"] < 1
    [match] = http.post("/lookalikes", files={"file": files["file_b"]}, params={"limit": 1}).json()["matches"]
    assert match["rarity"]["one_in"] > 1
