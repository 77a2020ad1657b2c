"""Parts that die are restarted after the parts they depend on, and none is ever given up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from ops.stack import keeper as keeper_module
from ops.stack.keeper import Keeper
from semblance.errors import ConfigurationError
from tests.support.waiting import wait_for


class Candle:
    """A part whose `start` fails a given number of times."""

    def __init__(self, name: str = "Candle") -> None:
        self.name = name
        self.burns = True
        self.failures = 0
        self.starts = 0
        self.stops = 0

    def start(self) -> None:
        self.starts += 1
        if self.failures > 0:
            self.failures -= 1
            raise ConfigurationError("Too much wind.")
        self.burns = True

    def problem(self) -> str | None:
        return None if self.burns else "It is dark."

    def stop(self) -> None:
        self.stops += 1
        self.burns = False


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "LONGEST_PAUSE", 0.02)


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def keep(
    closing: ExitStack, part: Candle, needs: Keeper | None = None, *, only_watches: bool = False
) -> tuple[Keeper, list[str | None]]:
    told: list[str | None] = []
    kept = Keeper(
        part,
        lambda: told.append(kept.problem.text if kept.problem else None),
        needs=needs,
        ask=0.01,
        only_watches=only_watches,
    )
    kept.start()
    closing.callback(kept.join)
    closing.callback(kept.close)
    return kept, told


def test_a_dead_part_is_restarted_and_reported_once(closing: ExitStack) -> None:
    candle = Candle()
    _, told = keep(closing, candle)
    candle.burns = False
    wait_for(lambda: len(told) == 2)
    assert told == ["It is dark.", None]
    assert candle.starts == 1


@pytest.mark.parametrize(
    ("only_watches", "said"), [(False, "Starting Candle."), (True, "Checking Candle again.")]
)
def test_the_log_says_whether_a_part_is_started_or_only_looked_at(
    closing: ExitStack, caplog: pytest.LogCaptureFixture, only_watches: bool, said: str
) -> None:
    candle = Candle()
    _, told = keep(closing, candle, only_watches=only_watches)
    candle.burns = False
    wait_for(lambda: len(told) == 2)
    assert caplog.messages == [said]


def test_a_part_is_never_given_up_and_reports_why_and_since_when(closing: ExitStack) -> None:
    candle = Candle()
    candle.failures = 12
    kept, told = keep(closing, candle)
    candle.burns = False
    wait_for(lambda: "Too much wind." in told)
    problem = kept.problem
    assert problem is not None
    since = problem.since
    wait_for(lambda: candle.failures == 3)
    assert kept.problem is None or kept.problem.since == since
    wait_for(lambda: told[-1] is None)
    assert candle.starts == 13
    # Between two attempts, too, it says why it does not start.
    assert told == ["It is dark.", "Too much wind.", None]


def test_a_part_that_is_only_watched_says_what_it_sees_now(closing: ExitStack) -> None:
    candle = Candle()
    candle.failures = 3
    _, told = keep(closing, candle, only_watches=True)
    candle.burns = False
    wait_for(lambda: len(told) > 2 and told[-1] is None)
    assert told[:3] == ["It is dark.", "Too much wind.", "It is dark."]


def test_a_part_waits_for_the_part_it_depends_on(closing: ExitStack) -> None:
    table, candle = Candle("Table"), Candle()
    gate = threading.Event()
    start = table.start

    def slowly() -> None:
        gate.wait()
        start()

    table.start = slowly  # type: ignore[method-assign]
    below, _ = keep(closing, table)
    _, told = keep(closing, candle, below)
    table.burns = candle.burns = False
    wait_for(lambda: below.problem is not None and "It is dark." in told)
    starts = candle.starts
    threading.Event().wait(0.1)
    assert candle.starts == starts
    gate.set()
    wait_for(lambda: told[-1] is None and below.problem is None)


def test_the_part_it_depends_on_is_restarted_as_a_last_resort(closing: ExitStack) -> None:
    table, candle = Candle("Table"), Candle()
    below, _ = keep(closing, table)
    candle.failures = keeper_module.RENEW_AFTER
    _, told = keep(closing, candle, below)
    candle.burns = False
    wait_for(lambda: bool(told) and told[-1] is None)
    assert (table.stops, table.starts) == (1, 1)


def test_the_part_it_depends_on_stays_as_long_as_attempts_succeed(closing: ExitStack) -> None:
    table, candle = Candle("Table"), Candle()
    below, _ = keep(closing, table)
    _, told = keep(closing, candle, below)
    for _ in range(keeper_module.RENEW_AFTER - 1):
        told.clear()
        candle.burns = False
        wait_for(lambda: bool(told) and told[-1] is None)
    candle.failures = 1
    candle.burns = False
    wait_for(lambda: "Too much wind." in told and told[-1] is None)
    assert table.stops == 0


def test_a_part_that_does_not_answer_is_restarted(closing: ExitStack) -> None:
    class Mute(Candle):
        def problem(self) -> str | None:
            if not self.burns:
                raise OSError("too many open files")
            return None

    mute = Mute()
    _, told = keep(closing, mute)
    mute.burns = False
    wait_for(lambda: len(told) >= 2)
    assert "too many open files" in str(told[0])


def test_a_closed_keeper_starts_nothing(closing: ExitStack) -> None:
    candle = Candle()
    kept, _ = keep(closing, candle)
    kept.close()
    kept.join()
    candle.burns = False
    threading.Event().wait(0.05)
    assert candle.starts == 0
