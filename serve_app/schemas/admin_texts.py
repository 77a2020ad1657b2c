"""How suggested texts are doing, for admins."""

from __future__ import annotations

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field

from db.jobs import JobStats
from semblance.settings import Settings
from serve_app.schemas.base import Schema
from serve_app.schemas.jobs import QueueStatistics


class TextsAnswer(Schema):
    """Who writes and judges suggested texts, and how many wait. Nothing of what users or models wrote."""

    model: str | None = Field(description="null: templates of the service itself.", examples=["gpt-4o-mini"])
    server: str | None = Field(description="The host that runs the model.", examples=["api.openai.com"])
    daily_tokens: int | None = Field(
        description="What the texts of one user may use a day (UTC); null for templates, which use none."
    )
    moderation: Literal["words", "provider"] = Field(
        description="Who judges a text before it is shown: a list of words, or also the server."
    )
    blocked_words: int | None = Field(
        ge=0, description="Entries of the list; null if SEMBLANCE_TEXT_BLOCKED_WORDS cannot be read."
    )
    embedding_model: str | None = Field(
        description="The server's model that makes vectors of bios, messages and searches; null: the "
        "text pack of the service itself.",
        examples=["text-embedding-3-small"],
    )
    queue: QueueStatistics

    @classmethod
    def of(cls, settings: Settings, blocked: int | None, queue: JobStats) -> Self:
        url = settings.text_url
        return cls(
            model=None if url is None else settings.text_model,
            server=None if url is None else urlsplit(url).hostname,
            daily_tokens=None if url is None else settings.text_daily_tokens,
            moderation="words" if url is None else settings.text_moderation,
            blocked_words=blocked,
            embedding_model=None if url is None else settings.text_embedding_model,
            queue=QueueStatistics.of_queue(queue),
        )
