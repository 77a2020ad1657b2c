"""docs/api.md from the OpenAPI document: every call, what it takes, what it answers.

python -m tools.api_docs            write docs/api.md
python -m tools.api_docs --check    exit 1 where it differs from the code
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import typer

from tools import CHECKOUT
from tools.openapi import document
from tools.pages import Check, one_line, type_text, write_page

TARGET = CHECKOUT / "docs" / "api.md"

HEAD = """\
# HTTP API

Written by `python -m tools.api_docs` from the code that answers. A running service has it at `/docs`, to try
out, and as OpenAPI at `/openapi.json`. The WebSocket is described in [realtime.md](realtime.md).

Credentials are sent as `Authorization: Bearer …`: **ApiKey** is the service's key or one of `semblance keys`
with the scope of the call, **User** a user's access token, **Cron** the cron secret
(`SEMBLANCE_CRON_SECRET`, or what `keys/cron_secret` in the state folder holds). Every error is
`{"error": "<sentence>", "code": "<snake_case>", "request_id": "…"}`, some with further fields; every answer
has the header `X-Request-ID`. Times are ISO 8601 with offset, ids are UUIDs, long lists have `next_cursor`.

**Photos** are sent as the `file` of a form, as JSON with `image_base64`, or as the body itself, with at most
`SEMBLANCE_MAX_IMAGE_BYTES` (25 MiB). Two photos in one call are sent as `file_a` and `file_b` of a form, or
as JSON with `image_a_base64` and `image_b_base64`; the limit is for both together. Other bodies may have 1
MiB, and JSON 20,000 values. After 20 s, a body must have arrived at 8 kB a second or more on average, or the
answer is 408, as for one that ends too early. Compressed bodies are answered with 415.

**Limits** are answered with 429 if you have reached yours, and with 503 if the service is full, both with
`Retry-After`. They apply to each replica of the API. A replica works on `SEMBLANCE_MAX_INFLIGHT` photos (64)
and holds `SEMBLANCE_MAX_UPLOAD_BYTES` of them (1 GiB). A user or key can rely on a quarter of each
(`SEMBLANCE_CLIENT_SHARE`), and gets more only while another quarter stays free: alone it gets three quarters,
and nobody gets everything. Eight photos of one user may arrive at the same time
(`SEMBLANCE_MAX_UPLOADS_PER_USER`), and as many of one key as a replica works on: a whole app may use it.

**Links** in answers begin with `SEMBLANCE_PUBLIC_URL` or, if that is not set, with the `Host` of the request,
so set it if others can reach the service. Caches may store no answers except pictures, which say so
themselves.
"""

METHODS = ("get", "post", "put", "patch", "delete")


def render() -> str:
    """The whole document."""
    described = document()
    lines = [HEAD]
    tags: dict[str, list[str]] = {}
    for path, operations in described["paths"].items():
        for method in METHODS:
            if operation := operations.get(method):
                tags.setdefault(operation["tags"][0], []).extend(_operation(method, path, operation))
    for tag, blocks in tags.items():
        lines += [f"## {tag[0].upper()}{tag[1:]}", "", *blocks]
    lines += ["## Schemas", ""]
    for name, schema in sorted(described["components"]["schemas"].items()):
        lines += _schema(name, schema)
    return "\n".join(lines).rstrip() + "\n"


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    schemes = [name for need in operation.get("security", []) for name in need]
    yield f"### `{method.upper()} {path}`"
    yield ""
    yield one_line(operation.get("description", operation["summary"]))
    yield ""
    if schemes:
        yield f"- credentials: {' or '.join(schemes)}"
    for parameter in operation.get("parameters", []):
        need = "required" if parameter.get("required") else "optional"
        note = one_line(parameter.get("description", ""))
        kind = type_text(parameter["schema"])
        yield f"- {parameter['in']} `{parameter['name']}` ({kind}, {need}) {note}".rstrip()
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"- body {media}: {type_text(content['schema'])}"
    answers = []
    for status, answer in operation["responses"].items():
        shapes = [type_text(content.get("schema", {})) for content in answer.get("content", {}).values()]
        shape = " / ".join(dict.fromkeys(shape for shape in shapes if shape))
        ok = int(status) < HTTPStatus.BAD_REQUEST
        answers.append(f"**{status}** {shape}".rstrip() if ok else status)
    yield f"- answers: {', '.join(answers)}"
    yield ""


def _schema(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"### {name}"
    yield ""
    if schema.get("description"):
        yield one_line(schema["description"])
        yield ""
    required = schema.get("required", [])
    for field, content in schema.get("properties", {}).items():
        optional = "" if field in required else ", optional"
        note = one_line(content.get("description", ""))
        yield f"- `{field}` ({type_text(content)}{optional}) {note}".rstrip()
    if "enum" in schema:
        yield ", ".join(f"`{value}`" for value in schema["enum"])
    yield ""


def main(check: Check = False) -> None:
    """Write docs/api.md, or say whether it is current."""
    write_page(TARGET, render(), check=check)


if __name__ == "__main__":
    typer.run(main)
