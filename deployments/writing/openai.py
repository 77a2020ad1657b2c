"""Client of a server that speaks OpenAI's protocol: OpenAI, vLLM, Ollama, TEI, Ray Serve LLM.

Chat completions are read as they stream (server-sent events: lines `data: {...}`, at the end `data:
[DONE]`). A server that does not stream answers with one JSON object, which is read as well."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx

from db.inference_jobs import Author, Use
from db.text_subjects import TextSubject
from deployments.writing.prompts import MAX_TOKENS, prompt_for
from deployments.writing.shown import MAX_TEXT
from deployments.writing.writer import OnText, WrittenText
from semblance.errors import ConfigurationError, TextProviderBusyError, TextRefusedError
from semblance.retry_after import seconds_of
from semblance.settings import Settings

BUSY: Final = "The provider of texts cannot be reached or is busy."
UNUSABLE: Final = "The provider of texts refuses our requests; an administrator has to look at its settings."
DECLINED: Final = "The provider of texts declined to write about this."
NOTHING: Final = "The provider of texts wrote nothing that can be shown."

_SILENCE_S: Final = 30.0
"""Longest pause between two pieces of an answer."""

_LONGEST_WAIT_S: Final = 3600
"""Longest wait that a server may ask for."""

_MAX_BYTES: Final = 4 * 1024 * 1024
_MAX_LINE: Final = 256 * 1024

_READ_ENOUGH: Final = 4 * MAX_TEXT
"""Characters after which a text is read no further: what is shown is shorter by far."""

_CHARACTERS_PER_TOKEN: Final = 4
"""About as many as tokenizers of English take; for servers that do not count."""

_LARGEST: Final = 3.4e38
"""What fits into single precision, in which vectors are stored."""

_TEMPORARY: Final = frozenset({408, 409, 425, 429})


class OpenAIClient:
    """One server. Everything it says is data from outside: limited in size, and never logged."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigurationError without `text_url` or a model."""
        if settings.text_url is None:
            raise ConfigurationError("No server of texts: set SEMBLANCE_TEXT_URL.")
        headers = {"Accept-Encoding": "identity"}
        if settings.text_api_key is not None:
            headers["Authorization"] = f"Bearer {settings.text_api_key.get_secret_value()}"
        self._deadline_s = settings.text_deadline_s
        self._client = httpx.AsyncClient(
            base_url=settings.text_url.rstrip("/") + "/",
            headers=headers,
            timeout=httpx.Timeout(10.0, read=_SILENCE_S, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            follow_redirects=False,
            # A key must not pass through a proxy that the environment happens to name.
            trust_env=False,
        )

    @asynccontextmanager
    async def posted(self, path: str, body: dict[str, Any]) -> AsyncIterator[httpx.Response]:
        """The successful answer to a request, its body still unread.

        Raises TextProviderBusyError for what passes by itself, within the block as well, and TextRefusedError
        for what does not.
        """
        try:
            async with asyncio.timeout(self._deadline_s):
                async with self._client.stream("POST", path, json=body) as response:
                    _check(response)
                    yield response
        except TimeoutError as exc:
            raise TextProviderBusyError(BUSY) from exc
        except httpx.HTTPError as exc:
            # Its message may hold the address and what was sent.
            raise TextProviderBusyError(BUSY) from exc

    async def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The JSON object that answers a request. Raises as `posted`."""
        async with self.posted(path, body) as response:
            return await read_object(response)

    async def close(self) -> None:
        await self._client.aclose()


class OpenAIWriter:
    """Writes texts with a model behind OpenAI's protocol."""

    def __init__(self, client: OpenAIClient, model: str) -> None:
        self.author = Author("openai", model)
        self._client = client

    async def write(self, subject: TextSubject, on_text: OnText) -> WrittenText:
        """As `TextWriter` says."""
        messages = prompt_for(subject)
        body = {
            "model": self.author.model,
            "messages": messages,
            "max_tokens": MAX_TOKENS,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        started = time.monotonic()
        text = ""
        tokens: tuple[int, int] | None = None
        begun = False
        try:
            async with self._client.posted("chat/completions", body) as response:
                begun = True
                async for piece in _pieces(response):
                    tokens = _tokens(piece) or tokens
                    more, ended = _said(piece)
                    text += more
                    if more:
                        await on_text(text)
                    if len(text) > _READ_ENOUGH or (ended and not _streams(response)):
                        break
        except (TextProviderBusyError, TextRefusedError) as exc:
            if begun:
                exc.tokens = tokens or _estimates(messages, text)
            raise
        tokens = tokens or _estimates(messages, text)
        if not text.strip():
            nothing = TextRefusedError(NOTHING)
            nothing.tokens = tokens
            raise nothing
        return WrittenText(text, Use(*tokens, time.monotonic() - started))

    async def close(self) -> None:
        await self._client.close()


class OpenAIEmbedder:
    """Makes vectors of texts with a model behind OpenAI's protocol."""

    def __init__(self, client: OpenAIClient, model: str) -> None:
        self.author = Author("openai", model)
        self._client = client

    async def embed(
        self, texts: Sequence[str], dimensions: int | None = None
    ) -> tuple[list[list[float]], Use]:
        """A vector for each text, in order, all of one length, and what it took. dimensions: of shortened
        vectors, from a model that can give them.

        Raises TextProviderBusyError, also for an answer that does not fit, TextRefusedError.
        """
        started = time.monotonic()
        body: dict[str, Any] = {"model": self.author.model, "input": list(texts), "encoding_format": "float"}
        if dimensions is not None:
            body["dimensions"] = dimensions
        answer = await self._client.answer("embeddings", body)
        vectors = _vectors(answer, len(texts))
        tokens = _tokens(answer)
        counted = tokens[0] if tokens else _estimate(sum(map(len, texts)))
        return vectors, Use(counted, 0, time.monotonic() - started)

    async def close(self) -> None:
        await self._client.close()


async def read_object(response: httpx.Response) -> dict[str, Any]:
    """The body, a JSON object. Raises TextProviderBusyError for anything else."""
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > _MAX_BYTES:
            raise TextProviderBusyError(BUSY)
    return _parsed(bytes(content))


async def _pieces(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The pieces of a chat completion. Raises TextProviderBusyError for one that breaks off."""
    if not _streams(response):
        yield await read_object(response)
        return
    pending, ended, read = b"", False, 0
    async for chunk in response.aiter_raw():
        read += len(chunk)
        pending += chunk
        if read > _MAX_BYTES or len(pending) > _MAX_LINE:
            raise TextProviderBusyError(BUSY)
        *lines, pending = pending.split(b"\n")
        for line in lines:
            data = line.strip().removeprefix(b"data:").strip()
            if not line.startswith(b"data:"):
                continue
            if data == b"[DONE]":
                return
            piece = _parsed(data)
            ended = ended or _said(piece)[1]
            yield piece
    if not ended:
        raise TextProviderBusyError(BUSY)


def _streams(response: httpx.Response) -> bool:
    kind: str = response.headers.get("content-type", "")
    return kind.startswith("text/event-stream")


def _said(piece: dict[str, Any]) -> tuple[str, bool]:
    """The text of a piece, and whether the text ends with it. Raises TextRefusedError if the model declined,
    TextProviderBusyError for an error in the midst of an answer."""
    if "error" in piece:
        raise TextProviderBusyError(BUSY)
    choices = piece.get("choices")
    if not isinstance(choices, list):
        raise TextProviderBusyError(BUSY)
    if not choices:
        # The last piece of a stream, which only counts.
        return "", False
    choice = choices[0] if isinstance(choices[0], dict) else {}
    message = choice.get("delta") or choice.get("message") or {}
    if not isinstance(message, dict):
        raise TextProviderBusyError(BUSY)
    if message.get("refusal") or choice.get("finish_reason") == "content_filter":
        raise TextRefusedError(DECLINED)
    content = message.get("content")
    return content if isinstance(content, str) else "", choice.get("finish_reason") is not None


def _tokens(piece: dict[str, Any]) -> tuple[int, int] | None:
    """Tokens in and out, where the server counts them."""
    use = piece.get("usage")
    if not isinstance(use, dict):
        return None
    counts = [use.get("prompt_tokens"), use.get("completion_tokens", 0)]
    if not all(isinstance(count, int) and 0 <= count < 2**31 for count in counts):
        return None
    return counts[0], counts[1]


def _vectors(answer: dict[str, Any], count: int) -> list[list[float]]:
    data = answer.get("data")
    if not isinstance(data, list) or len(data) != count:
        raise TextProviderBusyError(BUSY)
    found: dict[int, list[float]] = {}
    for place, entry in enumerate(data):
        vector = entry.get("embedding") if isinstance(entry, dict) else None
        index = entry.get("index", place) if isinstance(entry, dict) else None
        if not isinstance(index, int) or not isinstance(vector, list) or not vector:
            raise TextProviderBusyError(BUSY)
        found[index] = [_number(value) for value in vector]
    if sorted(found) != list(range(count)) or len({len(vector) for vector in found.values()}) > 1:
        raise TextProviderBusyError(BUSY)
    return [found[place] for place in range(count)]


def _number(value: object) -> float:
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        number = math.inf
    # Also false for NaN.
    if not abs(number) <= _LARGEST:
        raise TextProviderBusyError(BUSY)
    return number


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise TextProviderBusyError(BUSY) from exc
    if not isinstance(parsed, dict):
        raise TextProviderBusyError(BUSY)
    return parsed


def _check(response: httpx.Response) -> None:
    status = response.status_code
    if status == httpx.codes.OK:
        return
    if status in _TEMPORARY or status >= 500:
        raise TextProviderBusyError(BUSY, _retry_after(response))
    raise TextRefusedError(UNUSABLE)


def _retry_after(response: httpx.Response) -> int:
    return min(math.ceil(seconds_of(response.headers.get("retry-after"))), _LONGEST_WAIT_S)


def _estimates(messages: Sequence[dict[str, str]], text: str) -> tuple[int, int]:
    """About how many tokens a prompt and its answer have."""
    return _estimate(sum(len(message["content"]) for message in messages)), _estimate(len(text))


def _estimate(characters: int) -> int:
    return math.ceil(characters / _CHARACTERS_PER_TOKEN)
