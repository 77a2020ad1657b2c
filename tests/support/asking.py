"""A client that asks continuously, and the answers it gets."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

READ = "/api/matches/top"


@dataclass
class PersistentClient:
    """The answers to a client that asks continuously, by status, and the time without any answer.

    strange: answers that are neither 200 nor the contract's 503.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)
    unanswered: list[float] = field(default_factory=list)
    """Start of each attempt without an answer, in seconds of the monotonic clock."""

    def silence(self) -> float:
        """Seconds between the first and the last attempt without an answer; 0 if all were answered.

        A gateway that is back between two requests leaves nobody unanswered.
        """
        return self.unanswered[-1] - self.unanswered[0] if self.unanswered else 0.0

    def ask(self, client: httpx.Client) -> None:
        began = time.monotonic()
        try:
            answer = client.get(READ)
        except httpx.TransportError:
            self.unanswered.append(began)
            return
        self.statuses[answer.status_code] += 1
        refused = answer.status_code == 503 and "retry-after" in answer.headers
        if answer.status_code != 200 and not (
            refused and answer.json().keys() >= {"error", "code", "request_id"}
        ):
            self.strange.append(f"{answer.status_code} {answer.headers} {answer.text}")


@contextmanager
def asking(url: str) -> Iterator[PersistentClient]:
    """Ask twenty times a second for as long as the context lasts."""
    seen, end = PersistentClient(), threading.Event()

    def work() -> None:
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
            while not end.wait(0.05):
                seen.ask(client)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield seen
    finally:
        end.set()
        thread.join()
