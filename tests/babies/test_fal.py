"""The client of fal.ai against a server that behaves like it. The real service is never called."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from pydantic import SecretStr

from db.babies import ParentFace
from deployments.faces.decoder import DirectDecoder
from semblance.errors import BabyProviderError, ConfigurationError, ConflictError
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.storage.store import Storage
from serve_app.babies import fal as fal_client
from serve_app.babies.fal import ATTEMPTS, FalProvider
from tests.support.fal import KEY, FalServer, Reply, jpeg
from tests.support.rows_faces import photo
from tests.support.waiting import PATIENCE_S

A, B = ParentFace("faces/a.jpg", None), ParentFace("faces/b.jpg", None)

PAUSE = 0.01


@pytest.fixture
def settings(fal: FalServer, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, fal_url=fal.url, fal_api_key=SecretStr(KEY), max_image_bytes=300_000)


@pytest.fixture
async def storage(settings: Settings) -> Storage:
    opened = open_storage(settings)
    await opened.put(A.image_path, photo(), "image/jpeg")
    return opened


@pytest.fixture
async def provider(storage: Storage, settings: Settings) -> AsyncIterator[FalProvider]:
    made = client_of(storage, settings, pause=PAUSE)
    yield made
    await made.close()


def client_of(storage: Storage, settings: Settings, **options: float) -> FalProvider:
    return FalProvider(storage, settings, DirectDecoder(settings), **options)


async def failure(provider: FalProvider) -> BabyProviderError:
    with pytest.raises(BabyProviderError) as caught:
        await provider.generate(A, B)
    error = caught.value
    assert error.code == "baby_provider"
    assert KEY not in repr(error.args)
    return error


def size(data: bytes) -> tuple[int, int]:
    with Image.open(BytesIO(data), formats=["JPEG"]) as image:
        image.load()
        return image.size


async def test_the_request_is_the_documented_one(provider: FalProvider, fal: FalServer) -> None:
    made = await provider.generate(A, B)
    assert (made.attempts, size(made.data)) == (1, (640, 480))
    (order,) = fal.ordered
    assert order.path == "/fal-ai/flux/dev"
    assert order.headers["authorization"] == f"Key {KEY}"
    assert order.body is not None
    url = order.body.pop("image_url")
    assert order.body.pop("prompt").startswith("A cute baby face")
    assert order.body == {"num_images": 1, "guidance_scale": 7.5, "num_inference_steps": 50}
    kind, _, data = url.partition(",")
    assert kind == "data:image/jpeg;base64"
    assert max(size(base64.b64decode(data))) <= 1024
    (download,) = fal.downloaded
    assert "authorization" not in download.headers


async def test_a_bucket_lends_a_signed_link(bucket: str, fal: FalServer, settings: Settings) -> None:
    of_bucket = settings.model_copy(update={"storage_url": bucket})
    storage = open_storage(of_bucket)
    await storage.put("faces/a.jpg", photo(), "image/jpeg")
    heic = ParentFace("faces/a.heic", None)
    await storage.put(heic.image_path, photo(), "image/heic")
    provider = client_of(storage, of_bucket)
    await provider.generate(A, B)
    await provider.generate(heic, B)
    await provider.close()
    link, inline = (order.body["image_url"] for order in fal.ordered if order.body)
    assert link.startswith("http") and "X-Amz-Signature=" in link and "X-Amz-Expires=900" in link
    async with httpx.AsyncClient() as client:
        assert (await client.get(link)).content == photo()
    # fal does not read HEIC.
    assert inline.startswith("data:image/jpeg;base64,")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were to be slept on this loop, and are not. Ray Serve, once a test has used it, sleeps on
    others."""
    found: list[float] = []
    sleep, here = asyncio.sleep, threading.get_ident()

    async def note(seconds: float) -> None:
        if threading.get_ident() != here:
            await sleep(seconds)
            return
        found.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", note)
    return found


async def test_it_waits_as_long_as_the_server_asks(
    provider: FalProvider, fal: FalServer, pauses: list[float]
) -> None:
    fal.orders.append(Reply(429, b"{}", {"Retry-After": "50"}))
    made = await provider.generate(A, B)
    assert made.attempts == 2
    assert pauses == [50]


async def test_retry_after_may_be_a_date(provider: FalProvider, fal: FalServer, pauses: list[float]) -> None:
    until = datetime.now(UTC) + timedelta(seconds=90)
    fal.orders.append(Reply(503, b"", {"Retry-After": format_datetime(until, usegmt=True)}))
    await provider.generate(A, B)
    (pause,) = pauses
    assert 10 < pause <= 90


async def test_a_date_beyond_all_dates_is_no_date(provider: FalProvider, fal: FalServer) -> None:
    said = {"Retry-After": "Thu, 01 Jan 99999999999999999999 00:00:00 GMT"}
    fal.orders.extend(Reply(503, b"", said) for _ in range(ATTEMPTS))
    error = await failure(provider)
    assert (error.reason, error.attempts) == ("fal answered 503", ATTEMPTS)


async def test_a_wait_beyond_the_deadline_is_not_begun(provider: FalProvider, fal: FalServer) -> None:
    fal.orders.append(Reply(429, b"{}", {"Retry-After": "3600"}))
    error = await failure(provider)
    assert (error.reason, error.attempts) == ("fal answered 429", 1)


async def test_server_errors_are_repeated_until_attempts_are_used_up(
    provider: FalProvider, fal: FalServer
) -> None:
    fal.orders.extend(Reply(500, b"<html>") for _ in range(9))
    error = await failure(provider)
    assert (error.reason, error.attempts) == ("fal answered 500", ATTEMPTS)
    assert len(fal.ordered) == ATTEMPTS
    gaps = [after.time - before.time for before, after in zip(fal.ordered, fal.ordered[1:], strict=False)]
    # At least half of the doubled pause, with any jitter.
    assert all(gap >= PAUSE * 2**number / 2 for number, gap in enumerate(gaps))


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 422])
async def test_a_request_that_would_fail_again_is_not_repeated(
    provider: FalProvider, fal: FalServer, status: int
) -> None:
    fal.orders.append(Reply(status, b'{"detail": "no"}', {"Location": f"{fal.url}/elsewhere"}))
    error = await failure(provider)
    assert (error.reason, error.attempts) == (f"fal answered {status}", 1)
    assert len(fal.requests) == 1


async def test_a_service_that_cannot_be_reached_is_reported(storage: Storage, settings: Settings) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = settings.model_copy(update={"fal_url": f"http://127.0.0.1:{unused.getsockname()[1]}"})
        provider = client_of(storage, nowhere, pause=PAUSE)
        error = await failure(provider)
        await provider.close()
    assert (error.reason, error.attempts) == ("fal cannot be reached: ConnectError", ATTEMPTS)


async def test_a_silent_server_is_asked_again(
    storage: Storage, settings: Settings, fal: FalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fal_client, "_ATTEMPT_S", 0.2)
    fal.orders.append(Reply(delay=0.6))
    provider = client_of(storage, settings, pause=PAUSE)
    # The next attempt is answered however long that takes.
    fal.on_order = lambda: setattr(provider._client, "timeout", httpx.Timeout(PATIENCE_S))
    made = await provider.generate(A, B)
    await provider.close()
    assert made.attempts > 1


async def test_the_deadline_ends_everything(storage: Storage, settings: Settings, fal: FalServer) -> None:
    fal.orders.append(Reply(delay=1))
    provider = client_of(storage, settings.model_copy(update={"fal_deadline_s": 0.3}))
    error = await failure(provider)
    await provider.close()
    assert (error.reason, error.attempts) == ("no picture within 0.3 s", 1)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"images": [', "fal's answer is not JSON"),
        (b"[" * 100_000, "fal's answer is not JSON"),
        (b"\xff\xfe", "fal's answer is not JSON"),
        (b"[]", "fal's answer is not a JSON object"),
        (b"{}", "fal's answer names no picture"),
        (b'{"images": []}', "fal's answer names no picture"),
        (b'{"images": {"url": "x"}}', "fal's answer names no picture"),
        (b'{"images": [{"url": 7}]}', "fal's answer names no picture"),
        (b" " * 2_000_000, "fal's answer is larger than 1 MiB"),
        (
            b'{"images": [{"url": "https://x/"}], "has_nsfw_concepts": [true]}',
            "fal's safety checker withheld the picture",
        ),
        (b'{"has_nsfw_concepts": 7}', "fal's answer names no picture"),
    ],
)
async def test_an_unusable_answer_is_reported(
    provider: FalProvider, fal: FalServer, body: bytes, reason: str
) -> None:
    fal.orders.append(Reply(body=body))
    error = await failure(provider)
    assert (error.reason, len(fal.requests)) == (reason, 1)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(body=b"<html>not a picture</html>"), "the download is not a readable picture"),
        (Reply(body=jpeg()[:500]), "the download is not a readable picture"),
        (Reply(body=b""), "the download is not a readable picture"),
        (Reply(headers={"Content-Type": "text/html"}), "the picture has another content type"),
        (Reply(headers={"Content-Type": "image/svg+xml"}), "the picture has another content type"),
        (Reply(body=bytes(300_001)), "the picture is larger than 293 KiB"),
        (Reply(404), "the picture's host answered 404"),
        (Reply(302, b"", {"Location": "http://169.254.169.254/"}), "the picture's host answered 302"),
    ],
)
async def test_an_unusable_picture_is_reported(
    provider: FalProvider, fal: FalServer, reply: Reply, reason: str
) -> None:
    fal.pictures.append(reply)
    error = await failure(provider)
    assert (error.reason, error.attempts) == (reason, 1)
    assert len(fal.downloaded) == 1


async def test_a_picture_with_too_many_pixels_is_refused(
    storage: Storage, settings: Settings, fal: FalServer
) -> None:
    fal.pictures.append(Reply(body=jpeg((1001, 1000))))
    provider = client_of(storage, settings.model_copy(update={"max_image_pixels": 1_000_000}))
    error = await failure(provider)
    await provider.close()
    assert error.reason == "the download is not a readable picture"


async def test_a_picture_is_downloaded_again_but_not_made_again(
    provider: FalProvider, fal: FalServer
) -> None:
    fal.pictures.extend([Reply(503), Reply(500)])
    made = await provider.generate(A, B)
    assert (made.attempts, len(fal.ordered), len(fal.downloaded)) == (1, 1, 3)


async def test_the_stored_picture_is_encoded_by_us(provider: FalProvider, fal: FalServer) -> None:
    """Another format becomes a JPEG, without metadata and without trailing bytes."""
    file = BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "a prompt"
    Image.new("RGB", (64, 48), "red").save(file, "PNG", exif=exif)
    fal.pictures.append(Reply(body=file.getvalue() + b"<script>", headers={"Content-Type": "image/png"}))
    made = await provider.generate(A, B)
    assert size(made.data) == (64, 48)
    assert b"a prompt" not in made.data and b"<script>" not in made.data


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.com/x.jpg", "the picture's URL is not a plain https URL"),
        ("file:///etc/passwd", "the picture's URL is not a plain https URL"),
        ("ftp://example.com/x.jpg", "the picture's URL is not a plain https URL"),
        ("//example.com/x.jpg", "the picture's URL is not a plain https URL"),
        ("https://user:pass@example.com/x.jpg", "the picture's URL is not a plain https URL"),
        ("https://example.com:8443/x.jpg", "the picture's URL is not a plain https URL"),
        ("https:///x.jpg", "the picture's URL is not a plain https URL"),
        ("http://127.0.0.1:1/x.jpg", "the picture's URL is not a plain https URL"),
        ("https://127.0.0.1/x.jpg", "the picture's host is not on the public internet"),
        ("https://localhost/x.jpg", "the picture's host is not on the public internet"),
        ("https://2130706433/x.jpg", "the picture's host is not on the public internet"),
        ("https://10.0.0.7/x.jpg", "the picture's host is not on the public internet"),
        ("https://169.254.169.254/latest/meta-data", "the picture's host is not on the public internet"),
        ("https://[::1]/x.jpg", "the picture's host is not on the public internet"),
        ("https://[::ffff:10.0.0.7]/x.jpg", "the picture's host is not on the public internet"),
        ("https://[fd00::1]/x.jpg", "the picture's host is not on the public internet"),
        ("https://a\x00b/x.jpg", "the picture's URL is not valid"),
        ("https://[::1/x.jpg", "the picture's URL is not valid"),
    ],
)
async def test_no_address_reaches_the_private_network(
    provider: FalProvider, fal: FalServer, url: str, reason: str
) -> None:
    """An answer from fal cannot make the client read what only this machine can reach."""
    fal.picture_url = url
    error = await failure(provider)
    assert error.reason == reason
    assert fal.downloaded == []


async def test_a_public_host_is_reached_at_the_address_that_was_checked(
    provider: FalProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no second lookup, which could answer differently. Certificate and Host belong to the name."""
    sent: list[httpx.Request] = []

    class Wire(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            sent.append(request)
            content = httpx.ByteStream(jpeg())
            return httpx.Response(200, headers={"content-type": "image/jpeg"}, stream=content)

    async def resolved(*_: object, **__: object) -> list[Any]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2606:4700:4700::1111", 443, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1", 443)),
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolved)
    await provider.close()
    provider._client = httpx.AsyncClient(transport=Wire())
    assert await provider._download("https://v3.fal.media/files/a%20b.jpg?x=1")
    (request,) = sent
    assert str(request.url) == "https://1.1.1.1/files/a%20b.jpg?x=1"
    assert request.headers["host"] == "v3.fal.media"
    assert request.extensions["sni_hostname"] == "v3.fal.media"


async def test_a_missing_photo_is_reported(provider: FalProvider, fal: FalServer) -> None:
    with pytest.raises(ConflictError):
        await provider.generate(ParentFace("faces/gone.jpg", None), B)
    assert fal.requests == []


def test_fal_needs_a_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="SEMBLANCE_FAL_API_KEY"):
        client_of(open_storage(Settings(home=tmp_path)), Settings(home=tmp_path, baby_provider="fal"))


def test_the_key_is_a_secret(settings: Settings) -> None:
    assert KEY not in repr(settings)
    assert KEY not in json.dumps(settings.model_dump(mode="json"))
    assert settings.without_secrets().fal_api_key is None
