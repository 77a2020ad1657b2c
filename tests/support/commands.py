"""Run a command in a separate process, without waiting for its imports.

Most of what `semblance …` takes is Python reading modules. A server that has read the slow ones forks a
process for every command, with its own arguments, environment, streams and exit status.
The modules of the product itself are not read before, because some look at the environment.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path

from ops.commands import main

_SLOW_MODULES = [
    "asyncpg", "cv2", "fastapi", "httpx", "numpy", "obstore.store", "onnxruntime",
    "pgvector.asyncpg", "psycopg", "pydantic_settings", "ray.serve", "rich.console",
    "rich.progress", "scipy.spatial", "typer",
]  # fmt: skip


def semblance(
    *arguments: str, environment: Mapping[str, str], timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """What `semblance ARGUMENTS` does. Raises subprocess.TimeoutExpired."""
    return _run("semblance", arguments, environment, timeout)


def job(
    module: str, *arguments: str, environment: Mapping[str, str], timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """What `python -m MODULE ARGUMENTS` does. Raises subprocess.TimeoutExpired."""
    return _run(module, arguments, environment, timeout)


def _run(
    name: str, arguments: tuple[str, ...], environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "stdout"), Path(folder, "stderr")
        process = _context().Process(target=_command, args=(name, arguments, dict(environment), out, err))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(arguments, timeout)
        return subprocess.CompletedProcess(
            arguments,
            process.exitcode,
            out.read_text(encoding="utf-8"),
            err.read_text(encoding="utf-8"),
        )


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_SLOW_MODULES)
    return context


def _command(
    name: str, arguments: tuple[str, ...], environment: dict[str, str], out: Path, err: Path
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.argv = [name, *arguments]
    if name == "semblance":
        main()
    else:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
