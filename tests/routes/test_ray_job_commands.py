"""The commands of Ray jobs that the API starts are those that the jobs take."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime

import pytest
import typer
from pydantic import ValidationError
from typer.testing import CliRunner

from batch.rematch.__main__ import main as rematch
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
        RematchRequest.model_validate(
            {"since": "2026-01-31T01:00:00.5+01:00", "celebrities": False, "school": "uni.edu"}
        ),
        {"users": True, "since": datetime(2026, 1, 31, tzinfo=UTC), "school": "uni.edu"},
    ),
    (
        RematchRequest.model_validate({"since": "0001-01-01T00:00:00Z"}),
        {"since": datetime(1, 1, 1, tzinfo=UTC)},
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


def test_a_time_that_no_database_holds_is_refused() -> None:
    time = "9999-12-31T23:59:59-14:00"
    with pytest.raises(ValidationError, match="the years 1 to 9999"):
        RematchRequest.model_validate({"since": time})
    app = typer.Typer()
    app.command()(rematch)
    answer = CliRunner().invoke(app, ["--since", time])
    assert answer.exit_code == 2
    assert "A time lies in" in answer.output
