"""Limits of every request body: its size, the values of its JSON, the rate at which it arrives, and no
encoding.

They are checked while the body is read. A request that is refused for another reason, such as its
credentials, is not read at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from semblance.errors import (
    BadInputError,
    BodyTooLargeError,
    EncodedBodyError,
    IncompleteBodyError,
    SemblanceError,
    SlowBodyError,
)
from semblance.sizes import byte_size
from serve_app.api.errors import answer_to

JSON_BYTES: Final = 1024 * 1024
"""Largest body, except on routes that take photos."""

JSON_VALUES: Final = 20_000
"""Most values in a body of JSON; two embeddings have eight thousand. A value takes up to thirty times the
memory of its text, and nothing else runs while Python reads it: a body as large as a photo would take a
gigabyte and seconds."""

GRACE_S: Final = 20.0
"""How long a body of any size may take, for networks that stall for a while."""

LEAST_RATE: Final = 8 * 1024
"""Bytes per second at which a body must arrive, on average after the grace period. A poor mobile connection
is three times as fast; 25 MiB may take most of an hour."""

_KEY: Final = "semblance.body"

_READS: Final = frozenset({"GET", "HEAD"})

_BODY_FOLLOWS: Final = frozenset({b"content-length", b"transfer-encoding"})
"""A request with neither of these headers has no body (RFC 9112, section 6.3)."""


@dataclass(slots=True)
class BodyRules:
    """Limits that a route may change before the body is read.

    is_json: whether it is read as JSON. limit: bytes. arrived: called with the number of bytes of each part;
    may raise a SemblanceError.
    """

    is_json: bool
    limit: int = JSON_BYTES
    arrived: Callable[[int], None] | None = None


def body_rules(connection: HTTPConnection) -> BodyRules:
    """The rules for this request's body."""
    rules: BodyRules = connection.scope[_KEY]
    return rules


class _RefusedBody(BaseException):
    """Ends the work on a request whose body breaks the rules. It is no Exception: FastAPI answers 400 to any
    failure with a body that it parses itself, and an answer that nobody gets would still be counted."""

    def __init__(self, reason: SemblanceError) -> None:
        super().__init__(reason)
        self.reason = reason


class BodyMiddleware:
    """Answers a request whose body breaks the rules, mostly with 400, 413, 408 or 415. The application
    does not."""

    def __init__(self, app: ASGIApp, grace: float = GRACE_S, rate: float = LEAST_RATE) -> None:
        """grace: seconds, as GRACE_S. rate: bytes a second, as LEAST_RATE."""
        self._app = app
        self._grace = grace
        self._rate = rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Of other requests without a body, routes that take one must be told if the connection ends.
        if scope["method"] in _READS and not any(name in _BODY_FOLLOWS for name, _ in scope["headers"]):
            scope[_KEY] = BodyRules(is_json=False)
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        rules = scope[_KEY] = BodyRules("json" in headers.get("content-type", "").lower())
        body = _Body(rules, headers, receive, self._grace, self._rate)

        async def answer(message: Message) -> None:
            # A stream may begin while another task waits for the end of the body.
            if not body.is_refused:
                body.is_answered = True
                await send(message)

        try:
            await self._app(scope, body.receive, answer)
        except _RefusedBody as refused:
            response = answer_to(refused.reason, {"Connection": "close"})
            await response(scope, receive, send)


class _Body:
    """The body of one request while it arrives.

    is_refused: whether it broke the rules. is_answered: whether the answer has begun; after that only the
    end of the connection matters.
    """

    def __init__(
        self, rules: BodyRules, headers: Headers, receive: Receive, grace: float, rate: float
    ) -> None:
        self.is_refused = self.is_answered = False
        self._rules = rules
        self._headers = headers
        self._receive = receive
        self._grace = grace
        self._rate = rate
        self._began: float | None = None
        self._size = 0
        self._values = 1
        self._whole = False

    async def receive(self) -> Message:
        if self._whole or self.is_answered:
            return await self._receive()
        try:
            return await self._part()
        except SemblanceError as exc:
            if self.is_answered:
                raise
            self.is_refused = True
            raise _RefusedBody(exc) from exc

    async def _part(self) -> Message:
        loop = asyncio.get_running_loop()
        if self._began is None:
            self._began = loop.time()
            self._check_declared()
        try:
            async with asyncio.timeout_at(self._began + self._grace + self._size / self._rate):
                message = await self._receive()
        except TimeoutError as exc:
            raise SlowBodyError(
                f"The request's body came too slowly: {self._rate / 1024:g} kB a second must arrive. Try "
                "again over a better connection, or with a smaller picture."
            ) from exc
        part = message.get("body", b"")
        self._whole = not message.get("more_body", False)
        if message["type"] == "http.disconnect" and not self.is_answered:
            # A client that reads the answer has not left: something between lost the rest.
            raise IncompleteBodyError("The connection ended before the request was complete; send it again.")
        self._size += len(part)
        if part:
            self._check_size(self._size)
            encoding = self._headers.get("content-encoding", "identity").strip().lower()
            if encoding not in {"", "identity"}:
                raise EncodedBodyError("Send the body without Content-Encoding.")
            if self._rules.is_json:
                self._check_values(part)
            if self._rules.arrived is not None:
                self._rules.arrived(len(part))
        return message

    def _check_declared(self) -> None:
        declared = self._headers.get("content-length", "0")
        if declared.isascii() and declared.isdigit() and len(declared) < 20:
            self._check_size(int(declared))
        else:
            self._check_size(self._rules.limit + 1)

    def _check_values(self, part: bytes) -> None:
        # Each value but the outermost follows one of these. Texts may have them too, but no photo in base64.
        self._values += sum(map(part.count, (b",", b"[", b"{")))
        if self._values > JSON_VALUES:
            raise BadInputError(f"The JSON has more than {JSON_VALUES:,} values.")

    def _check_size(self, size: int) -> None:
        if size > self._rules.limit:
            raise BodyTooLargeError(f"The request is larger than {byte_size(self._rules.limit)}.")
