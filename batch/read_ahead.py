"""Reads pictures in threads while the nets run on those before them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import TypeVar

CHUNK = 8
"""Pictures that go through the nets together: the nets after the detector gain by a batch of 8 (a third of
their time), hardly beyond, and the next chunk is read meanwhile."""

IO_THREADS = 8
"""Pictures that one worker reads or stores at a time; they wait for a disk or bucket more than for a core."""

Item = TypeVar("Item")
Read = TypeVar("Read")


def read_chunks(
    threads: Executor, read: Callable[[Item], Read], items: Iterable[Item]
) -> Iterator[list[Read]]:
    """What `read` returns for each item, CHUNK at a time, in order. All are submitted at once; none is held
    here after it was handed over."""
    reads = deque(threads.submit(read, item) for item in items)
    while reads:
        yield [reads.popleft().result() for _ in range(min(CHUNK, len(reads)))]
