"""The process of a worker: it logs, reports errors and traces as its job does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from semblance.cores import give_way
from semblance.error_reports import report_errors
from semblance.logging import configure_logging
from semblance.otlp import tracing
from semblance.settings import Settings, get_settings


class WorkerActor:
    """Makes the worker of a pool and passes batches on to it, in a process of Ray."""

    def __init__(
        self, worker: Callable[..., Any], arguments: Sequence[object], settings: Settings, job_id: str | None
    ) -> None:
        """
        Args:
            worker: The class of the worker. arguments: For its constructor.
            settings: Of the job, without secrets.
            job_id: Of the Ray job, for each line of the log; None for a job that was not submitted.
        """
        give_way()
        configure_logging(settings, ray_job=job_id)
        # Where errors are reported to is a secret, so it comes from this node's environment.
        report_errors(get_settings())
        self._open = ExitStack()
        self._open.enter_context(tracing(settings))
        self._worker = worker(*arguments)

    def process(self, batch: Sequence[object], *shared: object) -> Sequence[Any]:
        """What the worker makes of a batch."""
        results: Sequence[Any] = self._worker.process(batch, *shared)
        return results
