"""What importing the jobs does to the environment of their process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_AT_RAY = """
import importlib, os, sys

class AtRay:
    def find_spec(self, name, path=None, target=None):
        if name == "ray":
            print(os.environ.get("RAY_ENABLE_UV_RUN_RUNTIME_ENV"))
            sys.stdout.flush()
            os._exit(0)

sys.meta_path.insert(0, AtRay())
importlib.import_module(sys.argv[1])
"""

_UNCHANGED = """
import os
before = dict(os.environ)
import ops.commands.app
assert dict(os.environ) == before, {*os.environ.items()} ^ {*before.items()}
"""


def python(program: str, *arguments: str) -> str:
    """The output of a new interpreter."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("job", ["ingest", "rematch", "reembed", "import_qdrant"])
def test_workers_of_a_job_are_not_started_through_uv(job: str) -> None:
    """Ray looks at the variable when it is imported."""
    assert python(_AT_RAY, f"batch.{job}.__main__") == "0\n"


def test_commands_pass_the_environment_on_unchanged() -> None:
    """`semblance up` passes its environment to Ray. Importing the options of Ray jobs must not change it."""
    python(_UNCHANGED)
