"""Ray jobs, as operators start and see them: the options of each, and what is known of one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from db.ray_jobs import RayJobKind, RayJobRow, RayJobStatus
from serve_app.schemas.base import Schema, Time
from serve_app.schemas.patterns import explained

SOURCE = explained(
    r"^(/|s3://.)[^\x00-\x1f]*$", "should be an absolute path on the server or the s3:// URL of a bucket"
)
PLAIN = explained(r"^[^\x00-\x1f]+$", "should be one line of text without control characters")
QDRANT = explained(
    r"^(https?://[^\s@]+|/[^\x00-\x1f]*)$",
    "should be an http(s) address without credentials or an absolute path on the server",
)

Flag = Annotated[bool, Field(strict=True)]
Line = Annotated[str, Field(min_length=1, max_length=200, pattern=PLAIN)]
Workers = Annotated[int, Field(ge=1, le=1000, description="Workers; null: one per core of the cluster.")]


class IngestRequest(Schema):
    """Fill the gallery with pictures, as `semblance ingest` does."""

    kind: Literal["ingest"] = "ingest"
    source: Annotated[str, Field(min_length=1, max_length=4096, pattern=SOURCE)] = Field(
        description="A folder or manifest on the server, or the s3:// URL of one.",
        examples=["/data/celebrities"],
    )
    category: Line | None = Field(None, description="Category of pictures without one.")
    exclude: list[Line] = Field(
        default_factory=list, max_length=50, description="Globs of files and folders to leave out."
    )
    min_quality: float = Field(0.6, ge=0, le=1, description="Lowest overall quality of a face.")
    largest: Flag = Field(False, description="Take the largest face of a picture with several.")
    limit: int | None = Field(None, ge=1, description="Take only the first inputs.")
    actors: Workers | None = None
    dry_run: Flag = Field(False, description="Analyze and report, but store nothing.")

    def arguments(self) -> list[str]:
        """Of `python -m batch.ingest`."""
        return [
            *_option("--category", self.category),
            *(part for glob in self.exclude for part in _option("--exclude", glob)),
            *_option("--min-quality", self.min_quality),
            *_flag("--largest", given=self.largest),
            *_option("--limit", self.limit),
            *_option("--actors", self.actors),
            *_flag("--dry-run", given=self.dry_run),
            "--",
            self.source,
        ]


class RematchRequest(Schema):
    """Match all faces again, as `python -m batch.rematch` does."""

    kind: Literal["rematch"] = "rematch"
    since: Time | None = Field(None, description="Only faces stored or analyzed since then.")
    school: Line | None = Field(None, description="Only faces of this school's profiles.")
    users: Flag = Field(True, description="Matches between users.")
    celebrities: Flag = Field(True, description="Matches with celebrities. Neither: both.")
    dry_run: Flag = Field(False, description="Score and count what would change, but write nothing.")

    def arguments(self) -> list[str]:
        """Of `python -m batch.rematch`."""
        since = None if self.since is None else self.since.isoformat(timespec="seconds")
        return [
            *_option("--since", since),
            *_option("--school", self.school),
            *_flag("--users", given=self.users and not self.celebrities),
            *_flag("--celebrities", given=self.celebrities and not self.users),
            *_flag("--dry-run", given=self.dry_run),
        ]


class ReembedRequest(Schema):
    """Embed all faces and celebrities again by another pack, as `python -m batch.reembed` does. What serves
    stays as it is: to switch needs the rights of the database's owner, so that is done by command."""

    kind: Literal["reembed"] = "reembed"
    pack: Line = Field(description="Name or path of an installed pack.", examples=["buffalo_l"])
    sample: int = Field(500, ge=0, le=100_000, description="Faces whose best celebrities are compared.")
    actors: Workers | None = None

    def arguments(self) -> list[str]:
        """Of `python -m batch.reembed`."""
        return [
            *_option("--pack", self.pack),
            *_option("--sample", self.sample),
            *_option("--actors", self.actors),
        ]


class QdrantRequest(Schema):
    """Take over the embeddings of a Qdrant collection, as `python -m batch.import_qdrant` does. The key of
    the server is QDRANT_API_KEY of the service's environment."""

    kind: Literal["import_qdrant"] = "import_qdrant"
    url: Annotated[str, Field(max_length=2048, pattern=QDRANT)] = Field(
        description="Address of Qdrant, or a folder of its local mode.", examples=["http://qdrant:6333"]
    )
    collection: Line = Field("faces", description="Name of the collection.")
    pack: Line | None = Field(None, description="Name or digest of the pack that made the embeddings.")
    create: Flag = Field(False, description="Make faces for points without one, if their profiles exist.")

    def arguments(self) -> list[str]:
        """Of `python -m batch.import_qdrant`."""
        return [
            *_option("--collection", self.collection),
            *_option("--pack", self.pack),
            *_flag("--create", given=self.create),
            "--",
            self.url,
        ]


RayJobRequest = IngestRequest | RematchRequest | ReembedRequest | QdrantRequest
AnyRayJob = Annotated[RayJobRequest, Field(discriminator="kind")]


class RayJobAnswer(Schema):
    id: UUID
    submission_id: str = Field(description="Ray's id, as in `ray job logs` and `semblance jobs follow`.")
    kind: RayJobKind
    arguments: list[str] = Field(description="Of its command.", examples=[["--", "/data/celebrities"]])
    started_by: str
    status: RayJobStatus
    done: int = Field(ge=0, description="How much is done of `total`, as the job told it.")
    total: int | None = Field(ge=0, description="null until the job knows it.")
    counted: int = Field(
        ge=0, description="What the job counts besides: pictures not taken, or rows to be written."
    )
    message: str | None = Field(description="Why it failed.")
    created_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, row: RayJobRow) -> RayJobAnswer:
        return cls.model_validate(row, from_attributes=True)


class RayJobsAnswer(Schema):
    jobs: list[RayJobAnswer] = Field(description="The latest first.")
    next_cursor: str | None
    dashboard_url: str | None = Field(description="Ray's dashboard, as the server reaches it.")
    problem: str | None = Field(
        description="Why the state of jobs that have not ended is not known; null if it is."
    )


class RayJobLog(Schema):
    text: str = Field(description="The end of the log, without what looks like a secret.")
    truncated: bool = Field(description="Whether the log has more before it.")


class RayJobReport(Schema):
    lines: list[dict[str, object]] = Field(description="Inputs or rows, each with outcome and reason.")
    next_offset: int | None = Field(description="`offset` of the next page; null at the end so far.")


class StoppedRayJob(Schema):
    stopped: bool = Field(description="false if it had ended before.")


def _option(name: str, value: object) -> list[str]:
    # With `=`: a value that begins with a dash is no option.
    return [] if value is None else [f"{name}={value}"]


def _flag(name: str, *, given: bool) -> list[str]:
    return [name] if given else []
