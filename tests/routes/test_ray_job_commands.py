"""The commands of Ray jobs that the API starts are those that the jobs take."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime

import pytest
import typer

from serve_app.schemas.ray_jobs import (
    IngestRequest,
    QdrantRequest,
    RayJobRequest,
    ReembedRequest,
    RematchRequest,
)

REQUESTS: list[tuple[RayJobRequest, dict[str, object]]] = [
    (IngestRequest(source="/-data"), {"source": "/-data", "min_quality": 0.6, "dry_run": False}),
    (
        IngestRequest(
            source="s3://bucket/a b",
            category="--help",
            exclude=["*.txt", "-x"],
            min_quality=0.5,
            largest=True,
            limit=3,
            actors=2,
            dry_run=True,
        ),
        {
            "source": "s3://bucket/a b",
            "category": "--help",
            "exclude": ["*.txt", "-x"],
            "min_quality": 0.5,
            "largest": True,
            "limit": 3,
            "actors": 2,
            "dry_run": True,
        },
    ),
    (RematchRequest(), {"users": False, "celebrities": False, "since": None}),
    (
        RematchRequest(since=datetime(2026, 1, 31, tzinfo=UTC), celebrities=False, school="uni.edu"),
        {"users": True, "since": datetime(2026, 1, 31, tzinfo=UTC), "school": "uni.edu"},
    ),
    (ReembedRequest(pack="buffalo_l", sample=0), {"pack": "buffalo_l", "sample": 0, "to_switch": False}),
    (
        QdrantRequest(url="http://qdrant:6333", pack="open", create=True),
        {"url": "http://qdrant:6333", "pack": "open", "create": True, "collection": "faces"},
    ),
]


@pytest.mark.parametrize(("request_", "expected"), REQUESTS)
def test_a_job_takes_the_options_of_its_request(request_: RayJobRequest, expected: dict[str, object]) -> None:
    main = importlib.import_module(f"batch.{request_.kind}.__main__").main
    app = typer.Typer()
    app.command()(main)
    command = typer.main.get_command(app)
    context = command.make_context("job", request_.arguments())
    taken = {
        name: list(value) if isinstance(value, tuple) else value for name, value in context.params.items()
    }
    assert {name: taken[name] for name in expected} == expected
