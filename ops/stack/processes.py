"""Finding and ending all processes of a stack."""

from __future__ import annotations

import os
import time

import psutil

STACK_MARK = "SEMBLANCE_STACK"
"""Environment variable with the id of the stack, inherited by everything that runs for it. A slash and the
part of the stack may follow the id: `0123456789ab/ray` marks Ray's daemons, workers and job drivers."""

SUPERVISOR_PART = "supervisor"
"""Of a supervisor that a command starts."""

_POLL = 0.05


def members(mark: str) -> set[psutil.Process]:
    """All living processes of a stack, or of a part of it, except the calling one.

    These are marked processes, their descendants, and processes that share a session with them: Ray's agents
    overwrite their environment when they set their title. PostgreSQL is not among them: it runs unmarked in
    its own session, and is stopped separately.
    """
    everyone = list(psutil.process_iter())
    children: dict[int, list[psutil.Process]] = {}
    for process in everyone:
        children.setdefault(_parent(process), []).append(process)
    found: set[psutil.Process] = set()
    sessions: set[int] = set()
    for process in everyone:
        if _is_marked(process, mark):
            sessions.add(_session(process))
            line = [process]
            while line:
                found.add(member := line.pop())
                line += children.get(member.pid, [])
    sessions.discard(-1)
    found.update(process for process in everyone if _session(process) in sessions)
    return {process for process in found if process.pid != os.getpid() and _is_alive(process)}


def sweep(mark: str, grace: float = 2.0) -> int:
    """End all members: first by SIGTERM, after `grace` seconds by SIGKILL, until none is left. A supervisor
    that a command starts is spared: it begins when the stack is free, and ends by itself with that command.

    Returns how many were ended. Raises TimeoutError if any survives ten rounds of SIGKILL.
    """
    ended: set[psutil.Process] = set()
    current = _swept(mark)
    _signal(current, kill=False)
    deadline = time.monotonic() + grace
    while current and time.monotonic() < deadline:
        time.sleep(_POLL)
        ended |= current
        current = {process for process in current if _is_alive(process)}
    # Ray replaces workers that die, so the remaining ones are looked up again.
    for _ in range(10):
        current = {process for process in current | _swept(mark) if _is_alive(process)}
        if not current:
            return len(ended)
        ended |= current
        _signal(current, kill=True)
        psutil.wait_procs(list(current), timeout=1.0)
    raise TimeoutError(f"Processes {sorted(process.pid for process in current)} cannot be ended.")


def _swept(mark: str) -> set[psutil.Process]:
    return {process for process in members(mark) if _mark(process) != f"{mark}/{SUPERVISOR_PART}"}


def _is_marked(process: psutil.Process, mark: str) -> bool:
    found = _mark(process)
    return found == mark or found.startswith(f"{mark}/")


def _mark(process: psutil.Process) -> str:
    try:
        return process.environ().get(STACK_MARK, "")
    except (psutil.Error, OSError):
        return ""


def _session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except OSError:
        return -1


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.Error:
        return -1


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _signal(processes: set[psutil.Process], *, kill: bool) -> None:
    for process in processes:
        try:
            if kill:
                process.kill()
            else:
                process.terminate()
        except psutil.Error:
            continue
