"""What the commands of all jobs share: where their settings come from, and how they end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.markup import escape

from batch.cluster import stop_at_once
from batch.record import recorded, why_it_failed
from semblance.actor import actor_var, command_actor
from semblance.cores import give_way
from semblance.error_reports import report_errors
from semblance.errors import SemblanceError
from semblance.logging import configure_logging
from semblance.otlp import tracing
from semblance.running import ray_submission_id, running_database
from semblance.settings import Settings, get_settings


@contextmanager
def job_command() -> Iterator[Settings]:
    """Give a job its settings, end the process at once on SIGINT and SIGTERM, and turn a SemblanceError into
    one line and typer.Exit(1)."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop_at_once)
    try:
        settings = job_settings()
        # The API goes first.
        give_way()
        configure_logging(settings, ray_job=ray_submission_id())
        report_errors(settings)
        actor_var.set(command_actor())
        with tracing(settings), recorded(settings):
            yield settings
    except SemblanceError as exc:
        Console(stderr=True).print(
            f"[red]error:[/] {escape(why_it_failed(exc))}", highlight=False, soft_wrap=True
        )
        raise typer.Exit(1) from exc


def job_settings() -> Settings:
    """The process's settings. If they name no database, that of the stack that runs in their home is used.

    Raises ConfigurationError for invalid settings.
    """
    settings = get_settings()
    # Workers have another working directory, where a relative home would be another folder.
    settings = settings.model_copy(update={"home": settings.home.absolute()})
    if settings.database_url is None and (dsn := running_database(settings.home)):
        settings = settings.model_copy(update={"database_url": SecretStr(dsn)})
    return settings
