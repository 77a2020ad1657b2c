from __future__ import annotations

import asyncio
from contextlib import suppress

from batch.rematch.turns import Turns
from tests.support.waiting import PATIENCE_S


async def holder(turns: Turns, rank: int, order: list[int], seconds: float = 0) -> None:
    async with turns.take(rank):
        order.append(rank)
        await asyncio.sleep(seconds)


async def test_the_lowest_rank_is_next() -> None:
    turns, order = Turns(1), list[int]()
    await asyncio.gather(*(holder(turns, rank, order) for rank in (5, 3, 1, 2, 1)))
    assert order == [5, 1, 1, 2, 3]


async def test_no_more_turns_than_room() -> None:
    turns, inside, most = Turns(2), 0, 0

    async def work() -> None:
        nonlocal inside, most
        async with turns.take(0):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(work() for _ in range(10)))
    assert (inside, most) == (0, 2)


async def test_giving_up_loses_no_turn() -> None:
    """Both before the turn comes, and between that and the next step of its holder."""
    turns, order = Turns(1), list[int]()
    async with turns.take(0):
        waiting = [asyncio.create_task(holder(turns, rank, order)) for rank in (1, 2, 3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
    waiting[1].cancel()
    for task in waiting:
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, PATIENCE_S)
    assert order == [3]
    await asyncio.wait_for(holder(turns, 4, order), PATIENCE_S)


async def test_an_error_ends_the_turn() -> None:
    turns = Turns(1)
    with suppress(ValueError):
        async with turns.take(0):
            raise ValueError
    await asyncio.wait_for(holder(turns, 1, []), PATIENCE_S)
