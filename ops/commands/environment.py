"""The settings of a command."""

from __future__ import annotations

from rich.markup import escape

from ops.commands.output import errors
from semblance import settings
from semblance.settings import Settings


def get_settings() -> Settings:
    """Like `semblance.settings.get_settings`, but refuses unknown variables and suggests the name that may be
    meant, since a person is there to correct it. It also prints which variables of the old app are used,
    because they may be meant for something else (`semblance.old_names`). Raises ConfigurationError.
    """
    settings.check_environment()
    if names := settings.old_names():
        taken = ", ".join(f"{name} as {settings.variable(field)}" for field, name in names.items())
        errors.print(f"[yellow]Note:[/] read from the environment: {escape(taken)}.", soft_wrap=True)
    return settings.get_settings()
