"""A steady load of uploads and reads that remembers every answer, and every picture that was accepted."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Literal, Self
from uuid import UUID, uuid4

import httpx
from PIL import Image

from benchmarks.stack import access_token
from ops.commands.photos import ASTRONAUT, package_photo

OK, REFUSED, UNANSWERED, BUSY = "2xx", "refused", "unanswered", "503"
"""What a client sees: answered as it should be; no connection, or one that breaks; no answer in time; 503 in
the contract's shape, with Retry-After. Anything else is a fault, and named by its status and code."""

_TIMEOUT_S = 30.0
_UPLOADS_PER_USER = 15
"""Below what the API lets one user upload a day."""


@dataclass(frozen=True, slots=True)
class Answer:
    """began, ended: seconds of `time.monotonic`."""

    kind: Literal["upload", "read"]
    seen: str
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Accepted:
    """A picture whose upload was answered 202, or 400 as a duplicate after its answer had been lost."""

    user: UUID
    image_hash: str


class Load:
    """Threads that upload and read until the context ends; each sends its next request a moment after the
    last answer."""

    def __init__(self, url: str, *, uploaders: int = 2, readers: int = 2, pause_s: float = 0.3) -> None:
        self.answers: list[Answer] = []
        self.accepted: list[Accepted] = []
        self._url = url
        self._pause_s = pause_s
        self._ending = threading.Event()
        self._face = Image.open(package_photo(*ASTRONAUT)).convert("RGB").crop((80, 0, 400, 320))
        self._threads = [
            threading.Thread(target=work, daemon=True)
            for work in [self._upload] * uploaders + [self._read] * readers
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def since(self, began: float) -> list[Answer]:
        """Answers to what was sent or still open at `began`."""
        return [answer for answer in tuple(self.answers) if answer.ended >= began]

    def _upload(self) -> None:
        with httpx.Client(base_url=self._url, timeout=_TIMEOUT_S, trust_env=False) as client:
            while not self._ending.is_set():
                user = uuid4()
                token = access_token(user, f"{user}@chaos.edu")
                client.headers["Authorization"] = f"Bearer {token}"
                for _ in range(_UPLOADS_PER_USER):
                    self._upload_one(client, user)
                    if self._ending.wait(self._pause_s):
                        return

    def _upload_one(self, client: httpx.Client, user: UUID) -> None:
        """One picture, sent again until it is accepted."""
        picture = self._picture()
        image_hash = hashlib.md5(picture, usedforsecurity=False).hexdigest()
        first = True
        while not self._ending.is_set():
            response = self._send(client, "/api/faces", picture, again=not first)
            if response is not None and (response.is_success or _is_duplicate(response, not first)):
                self.accepted.append(Accepted(user, image_hash))
                return
            first = False
            self._ending.wait(1.0)

    def _read(self) -> None:
        with httpx.Client(base_url=self._url, timeout=_TIMEOUT_S, trust_env=False) as client:
            while not self._ending.wait(self._pause_s):
                self._send(client, "/api/matches/top")

    def _send(
        self, client: httpx.Client, path: str, picture: bytes | None = None, *, again: bool = False
    ) -> httpx.Response | None:
        """Upload or read, and remember the answer. again: the same was sent before without a good one."""
        began = time.monotonic()
        response = None
        try:
            if picture is None:
                response = client.get(path)
            else:
                response = client.post(path, files={"file": ("photo.jpg", picture, "image/jpeg")})
            seen = _seen(response, again)
        except httpx.TimeoutException:
            seen = UNANSWERED
        except httpx.TransportError:
            seen = REFUSED
        kind: Literal["upload", "read"] = "read" if picture is None else "upload"
        self.answers.append(Answer(kind, seen, began, time.monotonic()))
        return response

    def _picture(self) -> bytes:
        encoded = io.BytesIO()
        self._face.save(encoded, "JPEG", quality=90, comment=uuid4().bytes)
        return encoded.getvalue()


def counted(answers: Iterable[Answer]) -> dict[str, int]:
    """How often each thing was seen."""
    return dict(Counter(answer.seen for answer in answers))


def faults(seen: Iterable[str]) -> list[str]:
    """What was seen that no client should ever see."""
    return sorted(set(seen) - {OK, BUSY, REFUSED, UNANSWERED})


def well_since(answers: Sequence[Answer], began: float) -> float | None:
    """The moment after `began` from which on everything was answered, both uploads and reads; None if that
    moment has not come."""
    bad = [answer.ended for answer in answers if answer.seen != OK]
    since = max([began, *bad])
    kinds = {answer.kind for answer in answers if answer.seen == OK and answer.began >= since}
    return since if kinds == {"upload", "read"} else None


def _seen(response: httpx.Response, again: bool) -> str:
    if response.is_success or _is_duplicate(response, again):
        return OK
    if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        in_shape = "Retry-After" in response.headers and b'"error"' in response.content
        return BUSY if in_shape else "503 out of shape"
    try:
        return f"{response.status_code} {response.json()['code']}"
    except (ValueError, KeyError, TypeError):
        return f"{response.status_code} out of shape"


def _is_duplicate(response: httpx.Response, again: bool) -> bool:
    bad = response.status_code == HTTPStatus.BAD_REQUEST
    return again and bad and b"duplicate_picture" in response.content
