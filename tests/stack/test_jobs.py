from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ray._private.runtime_env.context import RuntimeEnvContext
from ray.core.generated.common_pb2 import Language  # type: ignore[attr-defined]  # generated at import

from semblance.interpreters import interpreter_environment


def test_an_ordinary_path_needs_no_environment() -> None:
    assert interpreter_environment("/opt/semblance/.venv/bin/python") == {}


@pytest.mark.parametrize("folder", ["with space", "Ördner", "a'b", "$HOME"])
def test_ray_starts_an_interpreter_in_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """The command is intercepted when Ray would start that process."""
    interpreter = tmp_path / folder / "python"
    interpreter.parent.mkdir()
    interpreter.symlink_to(sys.executable)
    commands: list[list[str]] = []
    monkeypatch.setattr(os, "execvp", lambda _, args: commands.append(args))
    environment = interpreter_environment(str(interpreter))
    context = RuntimeEnvContext(py_executable=environment.get("py_executable", str(interpreter)))
    context.exec_worker(["-c", "import sys; print(sys.argv[1:])", "a b"], Language.PYTHON)
    (command,) = commands
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "['a b']\n", done.stderr
