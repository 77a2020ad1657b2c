"""Metrics for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from deployments.ray_metrics import metrics_text
from serve_app.api.dependencies import Injected, require_metrics_key
from serve_app.api.gauges import sample
from serve_app.api.responses import errors

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    dependencies=[Depends(require_metrics_key)],
    # Not PlainTextResponse, whose type would be documented for the errors, too.
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **errors(401, 403, 503)},
)
async def read_metrics(services: Injected) -> PlainTextResponse:
    """The service's metrics in Prometheus' text format, of all its processes. For the service's own API key,
    keys of the scope `metrics`, and the console."""
    await sample(services)
    return PlainTextResponse(await metrics_text(), media_type=CONTENT_TYPE_LATEST)
