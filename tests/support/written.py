"""HTTP examples of documents, sent as written: lines of a request, or a curl command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

import httpx


async def send(
    client: httpx.AsyncClient,
    example: str,
    values: Mapping[str, str] | None = None,
    files: Mapping[str, bytes] | None = None,
) -> httpx.Response:
    """The answer to an example. values: replacements of its placeholders. files: contents of the files to
    upload, by path."""
    for placeholder, value in (values or {}).items():
        assert placeholder in example, placeholder
        example = example.replace(placeholder, value)
    text = example.strip()
    request = _curl(text, files or {}) if text.startswith("curl ") else _lines(text)
    return await client.request(**request)  # type: ignore[arg-type]


def _path(url: str) -> str:
    """An address without the name of the service."""
    return re.sub(r"^https?://[^/]+", "", url)


def _lines(text: str) -> dict[str, object]:
    head, _, body = text.partition("\n\n")
    (method, url), *headers = (line.split(maxsplit=1) for line in head.splitlines())
    named = {name.rstrip(":"): value for name, value in headers}
    return {"method": method, "url": _path(url), "headers": named, "content": body.encode()}


def _curl(text: str, files: Mapping[str, bytes]) -> dict[str, object]:
    words = shlex.split(text.replace("\\\n", " "))[1:]
    request: dict[str, object] = {}
    headers: dict[str, str] = {}
    method = "GET"
    while words:
        match word := words.pop(0):
            case "-X" | "--request":
                method = words.pop(0)
            case "-H" | "--header":
                name, _, value = words.pop(0).partition(":")
                headers[name] = value.strip()
            case "-F":
                name, _, path = words.pop(0).partition("=@")
                request["files"] = {name: (path.rpartition("/")[2], files[path])}
            case "--data":
                request["content"] = words.pop(0)
            case "-i" | "--location":
                pass
            case _:
                assert not word.startswith("-"), f"{word}: an option that nobody knows"
                request["url"] = _path(word)
    return {**request, "method": method, "headers": headers}
