"""Commands that run a module of the project on Ray with the interpreter of this process."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence


def python_command(module: str, arguments: Sequence[str]) -> str:
    """A shell command that runs a module with this interpreter, since `python` on the cluster may be another
    one. -P: the folder in which the job starts must not shadow packages."""
    return shlex.join([sys.executable, "-P", "-m", module, *arguments])


def interpreter_environment(interpreter: str) -> dict[str, str]:
    """Ray's runtime environment for jobs of this interpreter: empty unless a shell would split its path.

    Ray passes the path to a shell unquoted, and a job whose worker cannot start stays pending for ever.
    """
    quoted = shlex.quote(interpreter)
    return {} if quoted == interpreter else {"py_executable": quoted}
