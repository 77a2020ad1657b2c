"""The writer and the moderator of the settings."""

from __future__ import annotations

from deployments.writing.local import LocalWriter
from deployments.writing.moderation import BLOCKED, ModerationEndpoint, Moderator, WordList, read_words
from deployments.writing.openai import OpenAIClient, OpenAIWriter
from deployments.writing.writer import TextWriter
from semblance.settings import Settings


def open_writer(settings: Settings) -> tuple[TextWriter, Moderator]:
    """Templates without `text_url`, else the server's model. Raises ConfigurationError for settings that do
    not fit together."""
    words = WordList(blocked_words(settings))
    if settings.text_url is None:
        return LocalWriter(), words
    client = OpenAIClient(settings)
    moderator = ModerationEndpoint(client, words) if settings.text_moderation == "provider" else words
    return OpenAIWriter(client, settings.text_model), moderator


def blocked_words(settings: Settings) -> list[str]:
    """The words and phrases that no text may contain. Raises ConfigurationError if the operator's list cannot
    be read."""
    extra = [] if settings.text_blocked_words is None else read_words(settings.text_blocked_words)
    return [*BLOCKED, *extra]
