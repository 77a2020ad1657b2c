"""Decoding processes for many tests, most of which take less time than the start of one."""

from __future__ import annotations

from functools import cache

from deployments.faces.decoder import PATIENCE, LazyDecoder
from semblance.settings import Settings


def shared_decoder(settings: Settings, *, patience: int = PATIENCE) -> LazyDecoder:
    """The decoder of all tests in this process whose settings have the same limits."""
    names = ("max_image_bytes", "max_image_pixels", "image_memory_bytes")
    limits: list[tuple[str, float]] = [(name, getattr(settings, name)) for name in names]
    return _decoder((*limits, ("image_deadline_s", settings.image_deadline_s * patience)))


@cache
def _decoder(limits: tuple[tuple[str, float], ...]) -> LazyDecoder:
    return LazyDecoder(Settings().model_copy(update=dict(limits)))
