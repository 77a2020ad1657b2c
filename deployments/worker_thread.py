"""A thread for what would block a replica's event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

from semblance.cores import give_way

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class WorkerThread:
    """Runs one thing at a time, so that the event loop keeps answering health checks and queue probes, and
    gives way to others."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name, initializer=give_way)

    async def run(
        self, work: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> _Result:
        """As `asyncio.to_thread`: in the request's context, so that logs and traces know it there."""
        in_context = partial(copy_context().run, work, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._executor, in_context)
