"""The OpenAPI document of the application, without a running service.

python -m tools.openapi > openapi.json
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import typer

from semblance.settings import Settings
from serve_app.api.factory import create_app
from serve_app.api.services import Services


@cache
def document() -> dict[str, Any]:
    """The document that a service with default settings answers under `/openapi.json`. Not to be changed."""
    return create_app(Settings(), _no_services).openapi()


async def _no_services() -> Services:
    raise RuntimeError("The document needs no services.")


if __name__ == "__main__":
    typer.echo(json.dumps(document()))
