"""Spans: what a request or a job spends its time on. They go nowhere unless `trace_with` says where, which
`semblance.otlp` does where an endpoint is set."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeAlias

Attribute: TypeAlias = str | int | float | bool


class SpanRecorder(Protocol):
    """Records spans. The current one belongs to the context (`contextvars`) in which it began."""

    def begin(
        self, name: str, attributes: dict[str, Attribute], parent: str | None
    ) -> AbstractContextManager[None]:
        """A span below `parent` (see `traceparent`), else below the current one, or the first of a new
        trace."""

    def part(self, name: str, attributes: dict[str, Attribute]) -> AbstractContextManager[None]:
        """A span below the current one, or nothing without one that is recorded."""

    def describe(self, name: str, attributes: dict[str, Attribute]) -> None:
        """Give the current span another name, and more attributes."""

    def trace_id(self) -> str | None:
        """The current trace, if it is recorded: 32 hexadecimal digits."""

    def traceparent(self) -> str | None:
        """The current span, if it is recorded, as W3C Trace Context writes it."""


_NOTHING = nullcontext()
_recorder: SpanRecorder | None = None


def trace_with(recorder: SpanRecorder | None) -> None:
    """Record the spans of this process with `recorder`; None for nowhere, as at first."""
    global _recorder  # noqa: PLW0603 (one per process, like the logging module's handlers)
    _recorder = recorder


def begin(name: str, *, parent: str | None = None, **attributes: Attribute) -> AbstractContextManager[None]:
    """Trace a block, which may be the first thing that is known of what it does: a job. parent: what
    `traceparent` returned where the job was asked for.

    Names and attributes come from short lists or are ids of the service. They are never what users wrote.
    """
    return _NOTHING if _recorder is None else _recorder.begin(name, attributes, parent)


def span(name: str, **attributes: Attribute) -> AbstractContextManager[None]:
    """Trace a block as a part of what is traced now. Outside of a trace nothing is recorded, so that polling
    makes none. Attributes as in `begin`."""
    return _NOTHING if _recorder is None else _recorder.part(name, attributes)


def describe(name: str, **attributes: Attribute) -> None:
    """Say what the current span is, now that it is known. Attributes as in `begin`."""
    if _recorder is not None:
        _recorder.describe(name, attributes)


def trace_id() -> str | None:
    """The id of the current trace, if it is recorded."""
    return None if _recorder is None else _recorder.trace_id()


def traceparent() -> str | None:
    """The current span, if it is recorded, for `begin` in another process."""
    return None if _recorder is None else _recorder.traceparent()
