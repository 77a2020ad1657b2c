"""A server on a free port that speaks OpenAI's protocol, with the faults that a test wants."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

TEXT = "Hello Ada, what a likeness! Where do you come from?"
KEY = "sk-test-key-of-the-provider"


@dataclass(slots=True)
class ProviderAnswer:
    """What the server answers to one request, by default a text that streams.

    body: in place of a completion. pieces: of the text. breaks: whether the stream ends in its midst. delay:
    seconds before the head. pause: seconds before each piece. stalls: whether nothing comes after the first
    piece. last: fields of the last piece's choice."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    pieces: list[str] = field(default_factory=lambda: [f"{word} " for word in TEXT.split()])
    breaks: bool = False
    delay: float = 0.0
    pause: float = 0.0
    stalls: bool = False
    last: dict[str, Any] = field(default_factory=lambda: {"finish_reason": "stop"})
    streams: bool = True


class TextProvider:
    """Answers chat completions, embeddings of three numbers and moderations, unless `answers` holds
    others."""

    def __init__(self) -> None:
        self.answers: deque[ProviderAnswer] = deque()
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        """Path, headers and body of each."""
        self.flagged: set[str] = set()
        """Parts of texts that the moderation flags."""
        self.judges = asyncio.Event()
        """While it is unset, calls of the moderation wait."""
        self.judges.set()
        self._asked = asyncio.Condition()
        self._serving: set[asyncio.Task[Any] | None] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        serving = [task for task in self._serving if task is not None]
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def heard(self, path: str) -> None:
        """Return once somebody has asked for this."""
        async with self._asked:
            await self._asked.wait_for(lambda: any(asked[0].endswith(path) for asked in self.requests))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.current_task())
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().strip().split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines)
                body = json.loads(await reader.readexactly(int(headers["content-length"])))
                path = first.split()[1]
                self.requests.append((path, headers, body))
                async with self._asked:
                    self._asked.notify_all()
                await self._answer(writer, path, body)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._serving.discard(asyncio.current_task())
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, path: str, body: dict[str, Any]) -> None:
        if path.endswith("/moderations"):
            await self.judges.wait()
            flagged = any(part in body["input"] for part in self.flagged)
            return await _whole(writer, ProviderAnswer(), {"results": [{"flagged": flagged}]})
        answer = self.answers.popleft() if self.answers else ProviderAnswer()
        await asyncio.sleep(answer.delay)
        if answer.status != 200 or answer.body is not None:
            return await _whole(writer, answer, {"error": {"message": "secret detail"}})
        if path.endswith("/embeddings"):
            data = [{"index": i, "embedding": [i, 0.5, 1]} for i, _ in enumerate(body["input"])]
            return await _whole(writer, answer, {"data": data[::-1], "usage": {"prompt_tokens": 7}})
        usage = {"prompt_tokens": 90, "completion_tokens": 12}
        if not answer.streams:
            message = {"message": {"content": "".join(answer.pieces)}, **answer.last}
            return await _whole(writer, answer, {"choices": [message], "usage": usage})
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        for piece in answer.pieces:
            await asyncio.sleep(answer.pause)
            _event(writer, {"choices": [{"delta": {"content": piece}, "finish_reason": None}]})
            await writer.drain()
            if answer.stalls:
                await asyncio.Event().wait()
        if not answer.breaks:
            _event(writer, {"choices": [{"delta": {}, **answer.last}]})
            _event(writer, {"choices": [], "usage": usage})
            writer.write(b"data: [DONE]\n\n")
        writer.close()
        return None


def _event(writer: asyncio.StreamWriter, data: dict[str, Any]) -> None:
    writer.write(b"data: " + json.dumps(data).encode() + b"\n\n")


async def _whole(writer: asyncio.StreamWriter, answer: ProviderAnswer, content: dict[str, Any]) -> None:
    body = json.dumps(content).encode() if answer.body is None else answer.body
    headers = {"content-type": "application/json", "content-length": str(len(body)), **answer.headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {answer.status} Status\r\n{head}\r\n".encode() + body)
    await writer.drain()


@pytest.fixture
async def text_provider() -> AsyncIterator[TextProvider]:
    """A running server for this test."""
    provider = TextProvider()
    await provider.start()
    yield provider
    await provider.stop()
