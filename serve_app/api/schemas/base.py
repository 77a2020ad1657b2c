"""What all answers share: the error shape, liveness and readiness."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Score = Annotated[float, Field(ge=0, le=1)]


class Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class ErrorAnswer(BaseModel):
    """Every error has this shape; some carry further fields."""

    error: str = Field(description="A sentence for a person.", examples=["No face detected in image"])
    code: str = Field(description="What to branch on.", examples=["no_face"])
    request_id: str = Field(description="Finds the request in the log.")


class Health(Schema):
    status: Literal["healthy"] = "healthy"
    model: str = Field(description="Name of the model pack.", examples=["open"])


class Readiness(Schema):
    status: Literal["ready"] = "ready"
    checks: dict[str, str] = Field(
        examples=[{"database": "ok", "queue": "0 waiting", "detector": "ok", "embedder": "ok"}]
    )
