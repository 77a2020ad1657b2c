"""The OpenAPI document, as the bytes that are answered."""

from __future__ import annotations

from typing import cast

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def write_document_once(app: FastAPI) -> None:
    """Answer the same bytes to every request for the document. FastAPI writes its 370 kB for each, which
    takes as long as twenty reads, and anyone may ask."""
    url = cast(str, app.openapi_url)
    written: bytes | None = None

    async def document(_: Request) -> Response:
        nonlocal written
        written = written or bytes(JSONResponse(app.openapi()).body)
        return Response(written, media_type="application/json")

    routes = app.router.routes
    [place] = [place for place, route in enumerate(routes) if isinstance(route, Route) and route.path == url]
    routes[place] = Route(url, document)
