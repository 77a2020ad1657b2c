"""The settings of a command."""

from __future__ import annotations

from semblance import settings
from semblance.settings import Settings


def get_settings() -> Settings:
    """As `semblance.settings.get_settings`, but a variable that is no setting is refused, with the name that
    may be meant: a person is there to mend it. Raises ConfigurationError.
    """
    settings.check_environment()
    return settings.get_settings()
