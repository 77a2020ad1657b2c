"""Calls that share what a call costs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar

import pytest

from deployments.clients import (
    JOINED_BYTES,
    JOINED_FACES,
    JOINED_PHOTOS,
    _fit_detector,
    _fit_net,
    detector_calls,
)
from deployments.joined import JoinedCalls, asker_var
from deployments.photos import PhotoToSearch

name_var: ContextVar[str] = ContextVar("name", default="")


class Doubling:
    """Doubles numbers, once it may go on."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.names: list[str] = []
        self.may_go_on = asyncio.Event()

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.calls.append(list(items))
        self.names.append(name_var.get())
        await self.may_go_on.wait()
        if 0 in items:
            raise ZeroDivisionError
        return [2 * item for item in items]


def joined(send: Doubling, calls: int = 1) -> JoinedCalls[int, int]:
    return JoinedCalls(send, lambda items: len(items) <= 3, calls=calls)


async def turns() -> None:
    """Let everything that can run do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_waits_goes_together_as_far_as_it_fits() -> None:
    send = Doubling()
    calls = joined(send)
    first = asyncio.create_task(calls.result(1))
    await turns()
    others = [asyncio.create_task(calls.result(item)) for item in range(2, 7)]
    await turns()
    assert send.calls == [[1]]
    send.may_go_on.set()
    assert await asyncio.gather(first, *others) == [2, 4, 6, 8, 10, 12]
    assert send.calls == [[1], [2, 3, 4], [5, 6]]
    # And again, after there was nothing to do.
    assert await calls.result(7) == 14


async def test_those_whose_items_wait_take_turns() -> None:
    send = Doubling()
    calls = joined(send)

    async def of(asker: str, item: int) -> int:
        asker_var.set(asker)
        return await calls.result(item)

    first = asyncio.create_task(of("ada", 1))
    await turns()
    waiting = [("ada", 2), ("ada", 3), ("ada", 4), ("ada", 5), ("bob", 6), ("bob", 7), ("eve", 8)]
    others = [asyncio.create_task(of(*each)) for each in waiting]
    await turns()
    send.may_go_on.set()
    await asyncio.gather(first, *others)
    assert send.calls == [[1], [2, 6, 8], [3, 7, 4], [5]]


async def test_what_comes_at_once_goes_together_and_calls_run_beside_each_other() -> None:
    send = Doubling()
    calls = joined(send, calls=2)
    results = [asyncio.create_task(calls.result(item)) for item in range(1, 8)]
    await turns()
    assert send.calls == [[1, 2, 3], [4, 5, 6]]
    send.may_go_on.set()
    assert await asyncio.gather(*results) == [2 * item for item in range(1, 8)]


async def test_a_failure_is_that_of_all_items_of_the_call_only() -> None:
    send = Doubling()
    send.may_go_on.set()
    calls = joined(send)
    results = await asyncio.gather(*map(calls.result, (0, 1, 2, 3)), return_exceptions=True)
    assert [type(result) for result in results] == [ZeroDivisionError] * 3 + [int]


async def test_an_answer_of_another_length_is_a_failure() -> None:
    async def short(items: Sequence[int]) -> Sequence[int]:
        return items[1:]

    calls = JoinedCalls(short, lambda _: True, calls=1)
    results = await asyncio.gather(*map(calls.result, (1, 2)), return_exceptions=True)
    assert [type(result) for result in results] == [ValueError] * 2


async def test_a_call_goes_on_without_those_who_gave_up() -> None:
    send = Doubling()
    calls = joined(send)
    first, second = (asyncio.create_task(calls.result(item)) for item in (1, 2))
    await turns()
    waiting, last = (asyncio.create_task(calls.result(item)) for item in (3, 4))
    await turns()
    first.cancel()
    waiting.cancel()
    send.may_go_on.set()
    assert await second == 4
    assert await last == 8
    assert send.calls == [[1, 2], [4]]


async def test_a_call_has_the_context_of_its_first_item() -> None:
    send = Doubling()
    calls = joined(send)

    async def named(name: str) -> int:
        name_var.set(name)
        return await calls.result(len(name))

    results = [asyncio.create_task(named("a"))]
    await turns()
    results += [asyncio.create_task(named(name)) for name in ("bb", "cc")]
    await turns()
    send.may_go_on.set()
    assert await asyncio.gather(*results) == [2, 4, 4]
    assert send.names == ["a", "bb"]


def photo(size: int = 1, max_faces: int | None = 1) -> PhotoToSearch:
    return PhotoToSearch(bytes(size), max_faces, True, "-", is_alone=False)


@pytest.mark.parametrize(
    ("photos", "fit"),
    [
        ([photo()] * JOINED_PHOTOS, True),
        ([photo()] * (JOINED_PHOTOS + 1), False),
        ([photo(JOINED_BYTES // 2)] * 2, True),
        ([photo(JOINED_BYTES // 2), photo(JOINED_BYTES // 2 + 1)], False),
        ([photo(), photo(max_faces=JOINED_FACES - 1)], True),
        ([photo(), photo(max_faces=None)], False),
    ],
)
def test_photos_share_a_call_if_they_are_few_small_and_asked_for_few_faces(
    photos: list[PhotoToSearch], *, fit: bool
) -> None:
    assert _fit_detector(photos) is fit


def test_faces_share_a_call_up_to_a_batch() -> None:
    assert _fit_net([range(JOINED_FACES - 1), range(1)])
    assert not _fit_net([range(JOINED_FACES), range(1)])


@pytest.mark.parametrize(("cores", "calls"), [(0, 2), (1, 2), (2.0, 2), (3.5, 3), (4, 4), (64, 4)])
def test_the_detector_is_called_as_often_at_once_as_there_are_cores(cores: float, calls: int) -> None:
    assert detector_calls(cores) == calls
