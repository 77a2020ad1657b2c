"""Baby pictures by fal.ai: one synchronous call of its REST API, then the download of the result.

The request is the one that the app has always sent. `image_url` takes one image: parent A's photo, and not
both side by side, because a model that starts from an image keeps its layout, so two faces become two
children. (FLUX.1 [dev], the default model, paints from the text and ignores the image.)
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final, TypeVar

import httpx

from db.babies import ParentFace
from deployments.faces.decoder import Decoder
from deployments.vision.encode import encode_jpeg, shrink
from semblance.addresses import IPAddress, is_public
from semblance.errors import (
    BabyProviderError,
    ConfigurationError,
    ConflictError,
    ImageTooLargeError,
    SemblanceError,
    UnreadableImageError,
)
from semblance.retry_after import seconds_of
from semblance.settings import Settings
from semblance.sizes import byte_size
from semblance.storage.store import Storage
from serve_app.babies.provider import GONE, NO_PICTURE, GeneratedPicture, read_photo

T = TypeVar("T")

PROMPT: Final = (
    "A cute baby face: close-up portrait photo of the happy baby that this person could have, one single "
    "child, looking at the camera, soft natural light, plain light background, photorealistic"
)

ATTEMPTS: Final = 4
"""Most requests for one result. A lost answer may have been paid for; the user would ask again anyway."""

_PAUSE_S: Final = 0.5
"""Pause before the second attempt; doubled before each further one."""

_ATTEMPT_S: Final = 60.0
"""Longest silence of the server. A picture takes about ten seconds, more after a cold start."""

_LINK_LIFETIME: Final = timedelta(minutes=15)
"""Lifetime of the link to a user's photo: longer than any deadline, and no longer than necessary."""

_READABLE: Final = (".jpg", ".jpeg", ".png", ".webp")
"""Suffixes of files that fal reads; others are sent as JPEG."""

_PARENT_SIDE: Final = 1024
"""Long side in pixels of a photo that is sent in the request itself."""

_LARGEST_SIDE: Final = 2048
"""Long side in pixels above which fal's picture is made smaller."""

_MAX_ANSWER_BYTES: Final = 1024 * 1024
_MAX_URL: Final = 4096
_PICTURE_TYPES: Final = frozenset({"image/jpeg", "image/png", "image/webp"})


class FalProvider:
    """Client of one fal model. Its pictures are downloaded and stored here, since fal may delete them."""

    name: Final = "fal"

    def __init__(
        self, storage: Storage, settings: Settings, decoder: Decoder, *, pause: float = _PAUSE_S
    ) -> None:
        """
        Args:
            decoder: opens photos and downloads.
            pause: seconds before the second attempt.

        Raises ConfigurationError without a key.
        """
        if settings.fal_api_key is None:
            raise ConfigurationError("fal makes no pictures without a key: set SEMBLANCE_FAL_API_KEY.")
        self.model = settings.fal_model
        self._storage = storage
        self._settings = settings
        self._decoder = decoder
        self._key = settings.fal_api_key
        self._origin = httpx.URL(settings.fal_url)
        self._pause = pause
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(10.0, read=_ATTEMPT_S),
            # No connection is kept open: the next picture's host may have the same address and another
            # name, for which the certificate would not be checked again.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            follow_redirects=False,
            # A proxy from the environment would resolve the names that are checked here, maybe differently.
            trust_env=False,
        )

    async def generate(self, a: ParentFace, b: ParentFace) -> GeneratedPicture:
        """As `BabyProvider` says."""
        order = {
            "prompt": PROMPT,
            "image_url": await self._photo_for_fal(a),
            "num_images": 1,
            "guidance_scale": 7.5,
            "num_inference_steps": 50,
        }
        deadline = asyncio.get_running_loop().time() + self._settings.fal_deadline_s
        orders, downloads = _Retries(self._pause, deadline), _Retries(self._pause, deadline)
        try:
            async with asyncio.timeout_at(deadline):
                url = await orders.run(lambda: self._order(order))
                data = await downloads.run(lambda: self._download(url))
                picture = await asyncio.to_thread(self._as_jpeg, data)
        except _FalError as exc:
            raise BabyProviderError(NO_PICTURE, exc.reason, max(orders.count, 1)) from exc
        except TimeoutError as exc:
            reason = f"no picture within {self._settings.fal_deadline_s:g} s"
            raise BabyProviderError(NO_PICTURE, reason, max(orders.count, 1)) from exc
        return GeneratedPicture(picture, orders.count)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _photo_for_fal(self, parent: ParentFace) -> str:
        """The URL of the photo for fal: a bucket's signed link, otherwise a data URI of a smaller JPEG,
        because fal reaches no local store and reads no HEIC, AVIF, TIFF or BMP."""
        path = parent.image_path
        if path.startswith("https://"):
            return path
        if path.endswith(_READABLE):
            url = self._storage.signed_url(path, _LINK_LIFETIME)
            if not url.startswith("/"):
                return url
        photo = await read_photo(self._storage, parent)
        try:
            small = await asyncio.to_thread(self._reencoded, photo, _PARENT_SIDE)
        except (UnreadableImageError, ImageTooLargeError) as exc:
            raise ConflictError(GONE) from exc
        return f"data:image/jpeg;base64,{base64.b64encode(small).decode()}"

    async def _order(self, order: dict[str, Any]) -> str:
        """Have a picture made; returns its URL."""
        headers = {"Authorization": f"Key {self._key.get_secret_value()}", "Accept": "application/json"}
        async with self._sent(
            "fal", "POST", f"{self._settings.fal_url}/{self.model}", json=order, headers=headers
        ) as response:
            answer = _parse(await _read(response, "fal's answer", _MAX_ANSWER_BYTES))
        withheld = answer.get("has_nsfw_concepts")
        if isinstance(withheld, list) and any(withheld):
            # Then the picture is black.
            raise _FalError("fal's safety checker withheld the picture")
        match answer.get("images"):
            case [{"url": str(url)}, *_] if len(url) <= _MAX_URL:
                return url
        raise _FalError("fal's answer names no picture")

    async def _download(self, address: str) -> bytes:
        """The bytes behind a URL from fal. It is not trusted: without the checks here, anyone who can
        answer for fal could read what only this machine can reach."""
        url, ip = await self._checked(address)
        headers = {"Host": url.netloc.decode("ascii"), "Accept": ", ".join(sorted(_PICTURE_TYPES))}
        # The connection goes to the address that was checked, so a name that resolves differently a moment
        # later gains nothing. The certificate is still checked for the name.
        target = url if ip is None else url.copy_with(host=str(ip))
        extensions = {} if ip is None else {"sni_hostname": url.raw_host.decode("ascii")}
        async with self._sent(
            "the picture's host", "GET", target, headers=headers, extensions=extensions
        ) as response:
            content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if content_type not in _PICTURE_TYPES:
                raise _FalError("the picture has another content type")
            return await _read(response, "the picture", self._settings.max_image_bytes)

    async def _checked(self, address: str) -> tuple[httpx.URL, IPAddress | None]:
        """The parsed URL of a picture, and the address of its host, which must be on the public internet
        and speak HTTPS. The server of `fal_url` is trusted: the operator chose it."""
        try:
            url = httpx.URL(address)
        except (httpx.InvalidURL, UnicodeError) as exc:
            raise _FalError("the picture's URL is not valid") from exc
        if (url.scheme, url.host, url.port) == (self._origin.scheme, self._origin.host, self._origin.port):
            return url, None
        if url.scheme != "https" or url.port is not None or url.userinfo or not url.host:
            raise _FalError("the picture's URL is not a plain https URL")
        host = url.raw_host.decode("ascii")
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host.strip("[]"), 443, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            raise _FalError("the picture's host is unknown", retry=True) from exc
        addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
        if not all(map(is_public, addresses)):
            raise _FalError("the picture's host is not on the public internet")
        # IPv4 first: not every network has routes for IPv6.
        return url, min(addresses, key=lambda ip: ip.version)

    def _as_jpeg(self, data: bytes) -> bytes:
        """The picture, decoded and encoded again: files and metadata from others are never served as ours."""
        try:
            return self._reencoded(data, _LARGEST_SIDE)
        except SemblanceError as exc:
            raise _FalError("the download is not a readable picture") from exc

    def _reencoded(self, data: bytes, side: int) -> bytes:
        with self._decoder.open(data) as picture:
            image, _ = picture.whole(side)
        return encode_jpeg(shrink(image, side))

    @asynccontextmanager
    async def _sent(
        self, who: str, method: str, url: httpx.URL | str, **options: Any
    ) -> AsyncIterator[httpx.Response]:
        """The successful answer to a request, its body still unread. Raises _FalError."""
        # Compressed content could be small in transit and fill the memory.
        options["headers"]["Accept-Encoding"] = "identity"
        try:
            async with self._client.stream(method, url, **options) as response:
                status = response.status_code
                if status != httpx.codes.OK:
                    again = status == httpx.codes.TOO_MANY_REQUESTS or status >= 500
                    raise _FalError(
                        f"{who} answered {status}",
                        retry=again,
                        after=seconds_of(response.headers.get("retry-after")),
                    )
                yield response
        except httpx.TransportError as exc:
            # The exception's message may contain URLs with signatures.
            raise _FalError(f"{who} cannot be reached: {type(exc).__name__}", retry=True) from exc
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise _FalError(f"{who} cannot be asked: {type(exc).__name__}") from exc


class _FalError(Exception):
    """reason: for operators. retry: whether the same request may succeed later. after: seconds that the
    server asked to wait."""

    def __init__(self, reason: str, *, retry: bool = False, after: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry = retry
        self.after = after


class _Retries:
    """Repeats a call that fails temporarily. count: calls so far."""

    def __init__(self, pause: float, deadline: float) -> None:
        """pause: seconds before the second call. deadline: of the loop's clock."""
        self.count = 0
        self._pause = pause
        self._deadline = deadline

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """The first result. Raises the last _FalError after ATTEMPTS calls, and at once one that is not
        temporary or for which the server asks to wait beyond the deadline."""
        while True:
            self.count += 1
            try:
                return await call()
            except _FalError as exc:
                # Jitter: clients that were refused together must not come back together.
                backoff = self._pause * 2 ** (self.count - 1) * random.uniform(0.5, 1.5)
                pause = max(backoff, exc.after)
                left = self._deadline - asyncio.get_running_loop().time()
                if not exc.retry or self.count == ATTEMPTS or pause >= left:
                    raise
            await asyncio.sleep(pause)


async def _read(response: httpx.Response, what: str, limit: int) -> bytes:
    """The body, at most `limit` bytes."""
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > limit:
            raise _FalError(f"{what} is larger than {byte_size(limit)}")
    return bytes(content)


def _parse(content: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise _FalError("fal's answer is not JSON") from exc
    if not isinstance(answer, dict):
        raise _FalError("fal's answer is not a JSON object")
    return answer
