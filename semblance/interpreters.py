"""Commands that run a module of the project on Ray with the interpreter of this process."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence


def python_command(module: str, arguments: Sequence[str]) -> str:
    """A shell command that runs a module with this interpreter, since `python` on the cluster may be another
    one. -P: the folder in which the job starts must not shadow packages."""
    return shlex.join([sys.executable, "-P", "-m", module, *arguments])
