"""What the commands of all jobs have in common: where their settings come from, and how they end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from pydantic import SecretStr
from ray.exceptions import RayError
from rich.console import Console
from rich.markup import escape

from batch.cluster import stop_at_once
from semblance.errors import SemblanceError
from semblance.logging import configure_logging
from semblance.running import running_database
from semblance.settings import Settings, get_settings


@contextmanager
def job_command() -> Iterator[Settings]:
    """Around a job: gives it its settings, ends the process at once on SIGINT and SIGTERM, and turns a
    SemblanceError, and the end of Ray under it, into one line and typer.Exit(1)."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop_at_once)
    try:
        settings = job_settings()
        configure_logging(settings)
        yield settings
    except SemblanceError as exc:
        _say(exc.message)
        raise typer.Exit(1) from exc
    except RayError as exc:
        reason = str(exc).strip().rpartition("\n")[2]
        _say(
            f"Ray was stopped or failed: {reason} What is done is kept; the same command goes on from there."
        )
        raise typer.Exit(1) from exc


def _say(message: str) -> None:
    Console(stderr=True).print(f"[red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)


def job_settings() -> Settings:
    """The process's settings; where no database is named, that of the stack which runs in their home.

    Raises ConfigurationError for settings that are none.
    """
    settings = get_settings()
    # The workers' folders are not this process's, so a relative home would be another one there.
    settings = settings.model_copy(update={"home": settings.home.absolute()})
    if settings.database_url is None and (dsn := running_database(settings.home)):
        settings = settings.model_copy(update={"database_url": SecretStr(dsn)})
    return settings
