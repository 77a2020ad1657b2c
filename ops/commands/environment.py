"""The settings of a command."""

from __future__ import annotations

from rich.markup import escape

from ops.commands.output import errors
from semblance import settings
from semblance.settings import Settings


def get_settings() -> Settings:
    """As `semblance.settings.get_settings`, but a variable that is no setting is refused, with the name that
    may be meant: a person is there to mend it. And they are told of variables that were taken although they
    may be meant for something else (`semblance.old_names`). Raises ConfigurationError.
    """
    settings.check_environment()
    if names := settings.old_names():
        taken = ", ".join(f"{name} as {settings.variable(field)}" for field, name in names.items())
        errors.print(f"[yellow]Note:[/] taken from the environment: {escape(taken)}.", soft_wrap=True)
    return settings.get_settings()
