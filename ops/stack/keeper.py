"""Keeping the parts of a stack up: each is checked regularly, and restarted when it has died."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from ops.stack.parts import Part
from ops.stack.state import Problem
from semblance.errors import SemblanceError

logger = logging.getLogger(__name__)

ASK_SECONDS = 1.0
LONGEST_PAUSE = 30.0
"""Pauses between attempts grow from one second to this."""
WELL_SECONDS = 60.0
"""After that long without a problem, pauses begin at one second again."""
RENEW_AFTER = 3
"""Failed attempts in a row after which the part that this one needs is restarted as well."""


class Keeper:
    """Watches one part in its own thread, and never gives up."""

    def __init__(
        self,
        part: Part,
        on_change: Callable[[], None],
        *,
        needs: Keeper | None = None,
        ask: float = ASK_SECONDS,
        only_watches: bool = False,
    ) -> None:
        """
        Args:
            part: the part to keep up.
            on_change: called in the keeper's thread when `problem` changes.
            needs: keeper of the part that this one depends on.
            ask: seconds between two checks while there is no problem; then at most one.
            only_watches: whether the part's `start` only looks again, as there is nothing to start.
        """
        self.part = part
        self.problem: Problem | None = None
        self._on_change = on_change
        self._needs = needs
        self._ask = ask
        self._only_watches = only_watches
        self._renewal = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"keeper of {part.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Start no further attempt."""
        self._closing.set()

    def join(self) -> None:
        """Wait for an attempt in progress to end. Stopping the part ends it."""
        if self._thread.is_alive():
            self._thread.join()

    def _keep(self) -> None:
        attempts = failures = 0
        failure: str | None = None
        next_attempt = well_since = time.monotonic()
        while not self._closing.wait(self._ask if self.problem is None else min(self._ask, ASK_SECONDS)):
            problem = self._question()
            if problem is None or self._only_watches or self._waits_for_another():
                failure = None
            # Why a part does not start says more than that it has ended.
            self._note(failure or problem)
            now = time.monotonic()
            if problem is None:
                if now - well_since > WELL_SECONDS:
                    attempts = 0
                continue
            well_since = now
            if now < next_attempt or self._waits_for_another():
                continue
            failure = self._attempt()
            attempts += 1
            if failure is None:
                failures = 0
                self._note(None)
            elif not self._closing.is_set() and not self._waits_for_another():
                failures += 1
                self._note(failure)
                if self._needs is not None and failures % RENEW_AFTER == 0:
                    self._needs._renewal.set()
            well_since = time.monotonic()
            next_attempt = well_since + min(2.0 ** (attempts - 1), LONGEST_PAUSE)

    def _question(self) -> str | None:
        if self._renewal.is_set():
            return "A part that depends on it does not start."
        try:
            return self.part.problem()
        except Exception as exc:
            logger.exception("%s could not be checked.", self.part.name)
            return f"It could not be checked: {exc}"

    def _attempt(self) -> str | None:
        """Start the part. Returns why that failed, None if it did not."""
        logger.warning("Checking %s again." if self._only_watches else "Starting %s.", self.part.name)
        try:
            if self._renewal.is_set():
                self.part.stop()
                self._renewal.clear()
            self.part.start()
        except SemblanceError as exc:
            return exc.message
        except Exception as exc:
            logger.exception("%s did not start.", self.part.name)
            return f"{type(exc).__name__}: {exc}"
        return None

    def _waits_for_another(self) -> bool:
        return self._needs is not None and self._needs.problem is not None

    def _note(self, text: str | None) -> None:
        before = self.problem
        if text is None:
            self.problem = None
        else:
            since = before.since if before else datetime.now(UTC)
            self.problem = Problem(part=self.part.name, text=text, since=since)
        if self.problem != before:
            self._on_change()
