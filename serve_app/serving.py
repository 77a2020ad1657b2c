"""The deployments of this application on Ray Serve: how they are, and how much waits for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import ray
from prometheus_client.parser import text_string_to_metric_families
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from semblance.errors import NotReadyError

logger = logging.getLogger(__name__)

WITHOUT_RAY: Final = "This API runs without Ray, so there are no deployments."

_WAITING: Final = "ray_serve_deployment_queued_queries"
_WORKING: Final = "ray_serve_replica_processing_queries"

_RUNNING: Final = "RUNNING"


@dataclass(frozen=True, slots=True)
class DeploymentState:
    """A deployment. status: as Serve calls it. running: replicas that serve. changing: those that start or
    stop. waiting: requests in the queues before it; working: those in its replicas, for the API
    without the reads that go past Serve; None if Ray does not say."""

    name: str
    status: str
    message: str
    running: int
    changing: int
    waiting: int | None
    working: int | None


async def deployments(exports: Sequence[str]) -> list[DeploymentState]:
    """The deployments of the application that this replica belongs to, in the order of their names; none
    without Ray.

    Args:
        exports: What Ray's nodes export, as `deployments.ray_metrics.node_exports` reads it.

    Raises NotReadyError if Serve does not answer.
    """
    if not ray.is_initialized():
        return []
    try:
        status = await asyncio.to_thread(serve.status)
        here = serve.get_replica_context().app_name
    except (RayError, RayServeException, RuntimeError) as exc:
        raise NotReadyError("Ray Serve does not say how its deployments are; try again soon.", 5) from exc
    found = status.applications[here].deployments
    waiting, working = load(exports, here)
    return [
        DeploymentState(
            name=name,
            status=state.status.value,
            message=state.message,
            running=sum(count for kind, count in state.replica_states.items() if kind == _RUNNING),
            changing=sum(count for kind, count in state.replica_states.items() if kind != _RUNNING),
            waiting=waiting.get(name, 0) if exports else None,
            working=working.get(name, 0) if exports else None,
        )
        for name, state in sorted(found.items())
    ]


def load(exports: Sequence[str], application: str) -> tuple[dict[str, int], dict[str, int]]:
    """How many requests wait for each deployment of an application, and how many it works on."""
    sums: dict[str, dict[str, int]] = {_WAITING: {}, _WORKING: {}}
    lines = (line for text in exports for line in text.splitlines() if line.startswith((_WAITING, _WORKING)))
    for family in text_string_to_metric_families("".join(f"{line}\n" for line in lines)):
        for sample in family.samples:
            if sample.name in sums and sample.labels.get("application") == application:
                counts, name = sums[sample.name], sample.labels.get("deployment", "")
                counts[name] = counts.get(name, 0) + round(sample.value)
    return sums[_WAITING], sums[_WORKING]
