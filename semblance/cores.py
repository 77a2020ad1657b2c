"""How many cores this process may use, and which goes first. Imports only the standard library."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_NICENESS = 10
"""Of what computes for long: a tenth of the time of what answers, where cores are short (the weights of Linux
are 110 and 1024). At 15, as Ray starts its workers by default, it would be a thirtieth, and photos would meet
their deadline whenever something else computes."""


def usable_cores(cgroups: Path = _CGROUPS) -> int:
    """The cores that the process may run on, or fewer if its container has a limit; at least 1.

    `os.cpu_count` counts those of the host. cgroups: where the control groups of the container are mounted.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = _limit(cgroups)
    return max(1, cores if limit is None else min(cores, round(limit)))


def give_way() -> None:
    """From now on others, the API and the database among them, go first where cores are short. It holds for
    the calling thread (on Linux; elsewhere for the process) and for the threads and processes that it starts.
    """
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, 0, max(_NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))


def _limit(cgroups: Path) -> float | None:
    """Cores of time that the control group grants; None for any number.

    By `cpu.max` ("QUOTA PERIOD", or "max PERIOD") of version 2, or the two files of version 1, where a quota
    of -1 is none: https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files.
    """
    with suppress(OSError, ValueError):
        quota, period = (cgroups / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    with suppress(OSError, ValueError):
        quota, period = ((cgroups / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return None if int(quota) < 0 else int(quota) / int(period)
    return None
