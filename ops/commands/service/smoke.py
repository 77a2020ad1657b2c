"""`semblance smoke`: test a deployed service as two users see it, from sign-in to a chat and a baby
picture."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

import cv2
import httpx
import numpy as np
from rich.markup import escape
from rich.table import Column, Table

from ops.commands.output import console, errors
from ops.commands.photos import ASTRONAUT, package_photo
from semblance.errors import BadInputError

_POLL_S = 0.25
_TIMEOUT_S = 60.0
_RESTORED = ("gender", "school", "default_face_id")
_JPEG = b"\xff\xd8"
_TOKEN = re.compile(r"[A-Za-z0-9._-]+")

_LISTED = 100
"""Faces and notifications read of each account, newest first."""

_UNFORESEEN = (httpx.HTTPError, httpx.InvalidURL, KeyError, TypeError, ValueError, IndexError)
"""Errors when the answers are not those of this API."""


class _StepFailedError(Exception):
    """A step failed. The message is for people."""


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """One line of the table. `seconds` is None for a step that was skipped."""

    step: str
    result: Literal["ok", "failed", "skipped"]
    text: str
    seconds: float | None = None


@dataclass(slots=True)
class _Account:
    """One of the two users.

    Attributes:
        before: the profile before the test.
        known: ids of the latest faces and notifications before the test; None until they were read.
        faces: ids of uploaded faces.
    """

    token: str = field(repr=False)
    before: dict[str, Any] | None = None
    known: dict[str, set[str]] | None = None
    faces: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        return str((self.before or {})["id"])


def run_smoke(url: str, tokens: tuple[str, str], *, photo: Path | None, patience: float) -> bool:
    """Run all steps, clean up, and print a table. Returns whether all steps succeeded.

    Args:
        url: of the service.
        tokens: access tokens of two different users.
        photo: file that shows a face. None: one that comes with the packages.
        patience: seconds to wait for matches.

    Raises BadInputError for a photo that cannot be read, or a malformed token.
    """
    if not all(map(_TOKEN.fullmatch, tokens)):
        # Not sent: code that rejects it as a header might print it.
        raise BadInputError("An access token consists of letters, digits, dots, dashes and underscores.")
    try:
        picture = (photo or package_photo(*ASTRONAUT)).read_bytes()
    except OSError as exc:
        raise BadInputError(f"The photo cannot be read: {exc}.") from exc
    with httpx.Client(base_url=url.rstrip("/"), timeout=_TIMEOUT_S) as client:
        smoke = Smoke(client, tokens, _unique(picture), patience)
        with console.status("Testing") as status:
            outcomes = smoke.run(lambda step: status.update(escape(step)))
    print_outcomes(outcomes)
    return all(outcome.result == "ok" for outcome in outcomes)


def print_outcomes(outcomes: Sequence[StepOutcome]) -> None:
    """Print the table, and below it the failures again."""
    table = Table("Step", Column("Result"), Column("Time", justify="right"), Column("", overflow="fold"))
    marks = {"ok": "[green]✓[/]", "failed": "[red]✗ failed[/]", "skipped": "[dim]  skipped[/]"}
    for outcome in outcomes:
        seconds = "" if outcome.seconds is None else f"{outcome.seconds:.2f} s"
        table.add_row(escape(outcome.step), marks[outcome.result], seconds, escape(outcome.text))
    console.print(table)
    for outcome in outcomes:
        if outcome.result == "failed":
            errors.print(f"[bold red]{escape(outcome.step)}:[/] {escape(outcome.text)}", soft_wrap=True)


class Smoke:
    """The steps and the cleaning up. `client` has the service as its base URL and no credentials."""

    def __init__(
        self, client: httpx.Client, tokens: tuple[str, str], picture: bytes, patience: float
    ) -> None:
        self._client = client
        self._ada, self._bob = _Account(tokens[0]), _Account(tokens[1])
        self._picture = picture
        self._patience = patience
        self._match = ""
        self._connection = ""
        self._steps: tuple[tuple[str, Callable[[], str]], ...] = (
            ("Service", self._ready),
            ("Sign in", self._sign_in),
            ("Profiles", self._prepare),
            ("Upload", self._upload),
            ("Match", self._find_match),
            ("Like", self._like),
            ("Chat", self._chat),
            ("Baby picture", self._baby),
        )

    def run(self, begin: Callable[[str], None] = lambda _: None) -> list[StepOutcome]:
        """Run the steps until one fails, then clean up in any case. `begin` is called with the name of each
        step before it begins."""
        outcomes: list[StepOutcome] = []
        try:
            for name, step in self._steps:
                if any(outcome.result == "failed" for outcome in outcomes):
                    outcomes.append(StepOutcome(name, "skipped", ""))
                    continue
                begin(name)
                outcomes.append(_take(name, step))
        finally:
            begin("Clean up")
            outcomes.append(_take("Clean up", self._clear_up))
        return outcomes

    def _ready(self) -> str:
        self._call(None, "GET", "/ready")
        return f"pack {self._call(None, 'GET', '/health')['model']}"

    def _sign_in(self) -> str:
        for account in (self._ada, self._bob):
            account.before = self._call(account, "GET", "/api/auth/me")
        if self._ada.id == self._bob.id:
            raise _StepFailedError("Both tokens belong to the same user; two users are needed.")
        return f"{self._ada.id}, {self._bob.id}"

    def _prepare(self) -> str:
        for account in (self._ada, self._bob):
            account.known = {kind: self._ids(account, kind) for kind in ("faces", "notifications")}
        school = f"Semblance smoke test {secrets.token_hex(4)}"
        for account, gender in ((self._ada, "female"), (self._bob, "male")):
            self._call(account, "PATCH", "/api/auth/me", json={"gender": gender, "school": school})
        return f"both at {school}"

    def _upload(self) -> str:
        for account in (self._ada, self._bob):
            answer = self._call(
                account, "POST", "/api/faces", expect=202, files={"file": ("photo.jpg", self._picture)}
            )
            account.faces.append(answer["id"])
            self._download(answer["image_url"])
            # One after the other, so that the second job finds the first face.
            self._wait_for_job(account, answer["job_id"])
        return f"{len(self._picture)} bytes, twice"

    def _find_match(self) -> str:
        answer = self._call(
            self._ada, "GET", "/api/matches/for-image", params={"face_id": self._ada.faces[0]}
        )
        found = [match for match in answer["matches"] if match["user"]["id"] == self._bob.id]
        if not found:
            raise _StepFailedError(
                "The two users do not match although both have the same photo. Is the threshold higher than "
                "the score of a photo with itself?"
            )
        self._match = found[0]["id"]
        famous = self._call(self._ada, "GET", f"/api/matches/celebrity/{self._ada.faces[0]}")
        return f"{found[0]['similarity_percentage']} %, and {famous['total']} celebrities"

    def _like(self) -> str:
        for account in (self._ada, self._bob):
            path = f"/api/matches/{self._match}/react"
            self._call(account, "POST", path, expect=201, json={"reaction_type": "like"})
        check = self._call(self._ada, "POST", "/api/connections/check", json={"match_id": self._match})
        if not check["exists"]:
            raise _StepFailedError("The two likes did not connect the two users.")
        self._connection = check["connection"]["id"]
        return "both users, which connects them"

    def _chat(self) -> str:
        text = f"Smoke test {secrets.token_hex(4)}"
        message = {"connection_id": self._connection, "content": text, "message_type": "text"}
        sent = self._call(self._ada, "POST", "/api/messages", expect=201, json=message)
        heard = self._call(self._bob, "GET", f"/api/messages/{self._connection}")["messages"]
        if (sent["id"], text) not in {(one["id"], one["content"]) for one in heard}:
            raise _StepFailedError("The message did not reach the other user.")
        self._call(self._bob, "PATCH", f"/api/messages/{sent['id']}/read")
        return "sent, received, read"

    def _baby(self) -> str:
        baby = self._call(self._ada, "POST", "/api/baby", expect=201, json={"match_id": self._match})
        return f"{self._download(baby['image_url'])} bytes"

    def _clear_up(self) -> str:
        problems: list[str] = []
        for account in (self._ada, self._bob):
            for undo in (self._delete_faces, self._restore, self._delete_notifications):
                if account.known is None:
                    # Nothing has been changed yet.
                    continue
                try:
                    undo(account, account.known)
                except (_StepFailedError, *_UNFORESEEN) as exc:
                    problems.append(_sentence(exc))
        if problems:
            raise _StepFailedError(" ".join(problems))
        return "pictures, matches and messages deleted, profiles restored"

    def _delete_faces(self, account: _Account, known: dict[str, set[str]]) -> None:
        # The id of an upload is unknown if its answer was lost.
        uploaded = self._ids(account, "faces") - known["faces"] if len(known["faces"]) < _LISTED else set()
        for face in uploaded | set(account.faces):
            self._call(account, "DELETE", f"/api/faces/{face}", expect=204)

    def _restore(self, account: _Account, _: dict[str, set[str]]) -> None:
        before = {name: (account.before or {})[name] for name in _RESTORED}
        self._call(account, "PATCH", "/api/auth/me", json=before)

    def _delete_notifications(self, account: _Account, known: dict[str, set[str]]) -> None:
        for notification in self._ids(account, "notifications") - known["notifications"]:
            self._call(account, "DELETE", f"/api/notifications/{notification}", expect=204)

    def _ids(self, account: _Account, kind: str) -> set[str]:
        answer = self._call(account, "GET", f"/api/{kind}", params={"limit": _LISTED})
        # With SEMBLANCE_COMPAT faces come as a list.
        return {item["id"] for item in (answer if isinstance(answer, list) else answer[kind])}

    def _wait_for_job(self, account: _Account, job_id: str) -> None:
        deadline = time.monotonic() + self._patience
        while True:
            job = self._call(account, "GET", f"/api/jobs/{job_id}")
            if job["status"] == "completed":
                return
            if job["status"] == "failed":
                raise _StepFailedError(f"The match job failed: {job['error']}")
            if time.monotonic() > deadline:
                raise _StepFailedError(
                    f"The match job is still {job['status']} after {self._patience:g} s. Does a Matcher run?"
                )
            time.sleep(_POLL_S)

    def _download(self, url: str) -> int:
        """Download a picture and return its size in bytes."""
        # Without a token: it may be in a bucket.
        answer = self._client.get(url)
        kind = answer.headers.get("content-type", "")
        if answer.status_code != HTTPStatus.OK or not kind.startswith("image/"):
            raise _StepFailedError(f"The link of a picture answers {answer.status_code} {kind}.")
        return len(answer.content)

    def _call(
        self, account: _Account | None, method: str, path: str, *, expect: int = 200, **request: Any
    ) -> Any:
        """The JSON of the answer, None if it is empty. Raises _StepFailedError unless the status is
        `expect`."""
        headers = {} if account is None else {"Authorization": f"Bearer {account.token}"}
        answer = self._client.request(method, path, headers=headers, **request)
        if answer.status_code != expect:
            said = answer.text[:200]
            with suppress(ValueError, KeyError, TypeError):
                body = answer.json()
                said = f"{body['error']} (request {body['request_id']})"
            raise _StepFailedError(f"{method} {path}: {answer.status_code} {said}")
        return answer.json() if answer.content else None


def _take(name: str, step: Callable[[], str]) -> StepOutcome:
    began = time.monotonic()
    try:
        text = step()
    except (_StepFailedError, *_UNFORESEEN) as exc:
        return StepOutcome(name, "failed", _sentence(exc), time.monotonic() - began)
    return StepOutcome(name, "ok", text, time.monotonic() - began)


def _sentence(exc: Exception) -> str:
    if isinstance(exc, _StepFailedError):
        return str(exc)
    if isinstance(exc, httpx.HTTPError):
        return f"The service cannot be reached: {str(exc) or type(exc).__name__}."
    return f"The answer is not one of this API: {type(exc).__name__} {exc}."


def _unique(picture: bytes) -> bytes:
    """The picture as a file that no account has uploaded before: a JPEG with a random comment. Unchanged if
    OpenCV cannot read it."""
    if not picture.startswith(_JPEG):
        image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            return picture
        picture = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    comment = secrets.token_bytes(16)
    # The marker COM and its length, which includes itself (ITU T.81, B.2.4.5).
    segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    return _JPEG + segment + picture.removeprefix(_JPEG)
