"""The state of the whole service, for operators."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from db.statistics import IndexSize, TableSize
from semblance.findings import Finding
from serve_app.schemas.base import Schema
from serve_app.serving import DeploymentState
from serve_app.traffic import RouteTraffic


class DeploymentAnswer(Schema):
    """A deployment of Ray Serve."""

    name: str = Field(examples=["Detector"])
    status: str = Field(description="As Ray Serve calls it.", examples=["HEALTHY"])
    message: str = Field(description="Why it is not healthy; empty if it is.")
    running: int = Field(ge=0, description="Replicas that serve.")
    changing: int = Field(ge=0, description="Replicas that start or stop.")
    waiting: int | None = Field(description="Requests that wait for it; null if Ray does not say.")
    working: int | None = Field(description="Requests that it works on; null if Ray does not say.")

    @classmethod
    def of(cls, state: DeploymentState) -> Self:
        return cls.model_validate(state, from_attributes=True)


class RouteAnswer(Schema):
    """Requests of a route since the processes of the API started."""

    method: str = Field(examples=["POST"])
    route: str = Field(description="Its template.", examples=["/lookalikes"])
    requests: int = Field(ge=0)
    failed: int = Field(ge=0, description="Answered with a status of 500 or more.")
    median_seconds: float | None = Field(description="Time until the answer began, of half the requests.")
    slow_seconds: float | None = Field(description="The same of 95 % of them.")

    @classmethod
    def of(cls, traffic: RouteTraffic) -> Self:
        return cls(
            method=traffic.method,
            route=traffic.route,
            requests=traffic.requests,
            failed=traffic.failed,
            median_seconds=traffic.median,
            slow_seconds=traffic.slow,
        )


class PackAnswer(Schema):
    """The model pack in use."""

    name: str = Field(examples=["open"])
    digest: str = Field(description="Identifies the pack's files; every embedding carries it.")
    description: str
    licence: str = Field(examples=["MIT AND Apache-2.0"])
    commercial_use: bool = Field(description="Whether the licence permits it.")
    card: str | None = Field(description="The model card, in Markdown; null without one.")


class TableAnswer(Schema):
    """A table of the database."""

    name: str = Field(examples=["faces"])
    rows: int = Field(ge=0, description="As the server estimates them.")
    bytes: int = Field(ge=0, description="Without indexes.")
    index_bytes: int = Field(ge=0, description="Of all its indexes.")

    @classmethod
    def of(cls, table: TableSize) -> Self:
        return cls.model_validate(table, from_attributes=True)


class IndexAnswer(Schema):
    """An index of the database."""

    name: str
    table: str
    bytes: int = Field(ge=0)
    scans: int = Field(ge=0, description="How often it was used since the server's statistics began.")

    @classmethod
    def of(cls, index: IndexSize) -> Self:
        return cls(name=index.name, table=index.table_name, bytes=index.bytes, scans=index.scans)


class DatabaseAnswer(Schema):
    """The database."""

    postgres: str = Field(description="The server's version.")
    pgvector: str | None = Field(description="The extension's version.")
    bytes: int = Field(ge=0)
    revision: str | None = Field(description="The last migration; null if it was not migrated.")
    newest_revision: str = Field(description="The last migration that this version of the service has.")
    tables: list[TableAnswer] = Field(description="The largest, the largest first.")
    indexes: list[IndexAnswer] = Field(description="The largest, the largest first.")


class PictureStoreAnswer(Schema):
    """Where pictures are kept."""

    kind: Literal["folder", "bucket"]
    place: str = Field(examples=["s3://faces/pictures"])
    free_bytes: int | None = Field(description="Of the folder's disk; null for a bucket.")
    size_bytes: int | None = Field(description="Of the same disk.")


class VersionsAnswer(Schema):
    """What runs."""

    semblance: str
    python: str
    ray: str


class SystemAnswer(Schema):
    """The service at a glance."""

    versions: VersionsAnswer
    deployments: list[DeploymentAnswer]
    problem: str | None = Field(description="Why there are no deployments, or not all is known of them.")
    routes: list[RouteAnswer] | None = Field(
        description="The busiest, the busiest first; null if Ray does not answer."
    )
    pack: PackAnswer
    database: DatabaseAnswer
    pictures: PictureStoreAnswer


class FindingAnswer(Schema):
    """What a check found."""

    level: Literal["ok", "warn", "fail"]
    subject: str = Field(examples=["Picture store"])
    text: str
    fix: str | None = Field(description="What to do about it.")

    @classmethod
    def of(cls, finding: Finding) -> Self:
        return cls(level=finding.level, subject=finding.subject, text=finding.text, fix=finding.fix or None)


class FindingsAnswer(Schema):
    findings: list[FindingAnswer] = Field(description="In the order of `semblance doctor`.")
